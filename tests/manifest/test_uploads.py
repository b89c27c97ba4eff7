"""Filters about uploaded files."""

import pytest

from hardpoint_manifest.check import check
from hardpoint_manifest.expression import Scope, compile
from hardpoint_manifest.uploads import FILE, seen
from manifest.documents import example


@pytest.mark.parametrize(
    ("name", "type", "admitted"),
    [
        ("invoice-1.pdf", "application/pdf", True),
        ("invoice-1.pdf", "Application/PDF; charset=binary", True),
        ("photo.png", "image/png", False),
        ("invoice-1.pdf", "image/png", False),
        ("letter.pdf", "application/pdf", False),
    ],
)
def test_the_filter_of_the_invoice_processor(name: str, type: str, admitted: bool) -> None:
    manifest = check(example("invoice-processor.yaml")).manifest
    assert manifest is not None
    filter = compile(manifest.triggers[0].filter, Scope.of("file"))
    assert filter.evaluate({"file": seen({"id": "orgs/o/files/f", "name": name, "type": type, "size": 3})}) is admitted


def test_what_is_seen_is_what_is_known() -> None:
    whole = {"id": "x", "name": "a", "type": "text/plain", "size": 1, "expire_time": "2030-01-31T08:00:00Z"}
    assert set(seen(whole)) == set(FILE.members)
    assert {name for name, known in FILE.members.items() if known.optional} == {"expire_time"}
    assert seen({"id": "x", "type": "text/plain"})["type"] == "txt"
