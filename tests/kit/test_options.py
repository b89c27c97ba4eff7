"""Options are read from the environment; what one cannot be is said by its name, and not repeated."""

import pytest

from hardpoint_kit.errors import InvalidArgument
from hardpoint_kit.options import Options


def test_what_is_wrong_is_said_by_name_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDPOINT_REQUEST_DAYS", "s3cret")
    monkeypatch.setenv("HARDPOINT_AUDIT_DAYS", "-1")
    with pytest.raises(InvalidArgument) as refused:
        Options()
    assert refused.value.violations.keys() == {"HARDPOINT_REQUEST_DAYS", "HARDPOINT_AUDIT_DAYS"}
    assert "greater than 0" in refused.value.violations["HARDPOINT_AUDIT_DAYS"]
    assert "s3cret" not in refused.value.message
    assert refused.value.fix
