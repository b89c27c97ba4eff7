"""What code needs because of a permission for a service of the organisation."""

from typing import Any

import pytest

from hardpoint_manifest.authority import PERMISSIONS, SERVED
from hardpoint_manifest.check import Report, check
from hardpoint_manifest.load import load_code
from hardpoint_manifest.services import NEEDS


def checked(*permissions: str, **header: Any) -> Report:
    actions = [{"id": "act", "async": True, "declared": True}]
    whole = {"id": "probe", "version": "1.0.0", "permissions": list(permissions), "actions": actions, **header}
    return check(load_code(b"export default {}", "probe.js", whole))


@pytest.mark.parametrize(
    ("permissions", "needed"),
    [
        (["data.read"], {"DATABASE_URL": "secret", "DATABASE_TABLES": "string"}),
        (["data.read", "data.delete"], {"DATABASE_URL": "secret", "DATABASE_TABLES": "string"}),
        (["ai.call"], {"AI_URL": "string", "AI_KEY": "secret", "AI_MODEL": "string"}),
        (["ai.embedding"], {"AI_URL": "string", "AI_KEY": "secret", "AI_EMBEDDING_MODEL": "string"}),
        (["integration.email"], {"SMTP_URL": "secret", "EMAIL_FROM": "string", "IMAP_URL": "secret"}),
        (["integration.calendar"], {"CALDAV_URL": "secret"}),
        (["network.http.get", "file.read", "compute.heavy"], {}),
    ],
)
def test_a_permission_makes_requirements_that_go_nowhere_by_themselves(permissions, needed) -> None:
    report = checked(*permissions)
    assert report.manifest is not None
    assert {one.key: one.type for one in report.manifest.requirements} == needed
    assert not any(one.required or one.hosts or one.declared for one in report.manifest.requirements)
    assert all(one.description for one in report.manifest.requirements)
    told = [finding for finding in report.findings if finding.rule == "derived-requirement"]
    assert report.ok
    assert len(told) == bool(needed)
    for finding in told:
        assert (finding.severity, finding.path) == ("info", "permissions[0]")
        assert all(key in finding.message for key in needed)


@pytest.mark.parametrize("config", [{"DATABASE_URL": {"type": "secret", "required": True}}, None])
def test_what_the_author_declares_is_his(config: Any) -> None:
    config = config or [{"key": "DATABASE_URL", "type": "secret", "required": True}]
    manifest = checked("data.read", config=config).manifest
    assert manifest is not None
    assert [(one.key, one.required, one.declared) for one in manifest.requirements] == [
        ("DATABASE_URL", True, True),
        ("DATABASE_TABLES", False, False),
    ]


def test_an_input_cannot_be_called_like_a_setting_that_is_derived() -> None:
    actions = [{"id": "act", "async": True, "declared": True, "inputs": [{"name": "DATABASE_URL"}]}]
    report = checked("data.read", actions=actions)
    assert [(one.rule, one.path) for one in report.findings if one.severity == "error"] == [
        ("ambiguous-name", "permissions")
    ]


def test_every_permission_of_the_table_is_one_that_is_served() -> None:
    assert NEEDS.keys() <= SERVED <= PERMISSIONS.keys()
    assert {name for name in SERVED if name.startswith(("data.", "ai.", "integration."))} == NEEDS.keys()
