"""What the registry says about submissions before it stores them."""

import json
from pathlib import Path
from typing import Any

import pytest

from hardpoint_kit.errors import InvalidArgument
from hardpoint_kit.rpc.status import from_status, to_status
from hardpoint_manifest.finding import Finding, Severity
from hardpoint_manifest.load import MAX_BYTES
from hardpoint_registry.checks import check_submission, invalid_manifest
from registry.client import weather

EXAMPLES = Path(__file__).parents[2] / "examples"
CODE = b"export default { id: 'twice', actions: { async run(input) { return input } } }"
HEADER = {"id": "twice", "name": "Twice", "version": "1.2.0", "actions": [{"id": "run", "async": True}]}


def test_code_is_released_by_its_header() -> None:
    report = check_submission(CODE, "twice.js", HEADER)
    assert report.ok
    assert report.manifest is not None
    assert (report.manifest.language, report.manifest.version) == ("javascript", "1.2.0")


@pytest.mark.parametrize(
    ("source", "filename", "header", "problem"),
    [
        (CODE, "twice.js", None, "is required"),
        (weather(), "weather.yaml", HEADER, "must be unset"),
        (CODE, "twice.js", {**HEADER, "description": "x" * MAX_BYTES}, "more than"),
        (CODE, "twice.js", {**HEADER, "config": float("nan")}, "not finite"),
    ],
)
def test_a_header_belongs_to_code_and_is_data(source: bytes, filename: str, header: Any, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem) as refused:
        check_submission(source, filename, header)
    assert "header" in refused.value.violations


@pytest.mark.parametrize(
    ("source", "filename", "header", "path"),
    [
        (weather(description="a\\0b"), "weather.yaml", None, "capability.description"),
        (b'{"capability": {"id": "x", "tags": ["a\\u0000"]}}', "x.json", None, "capability.tags[0]"),
        (b'{"capability": {"a\\u0000": 1}}', "x.json", None, "capability"),
        (CODE, "twice.js", {**HEADER, "name": "a\0"}, "name"),
    ],
)
def test_a_zero_character_hidden_in_an_escape_is_found(
    source: bytes, filename: str, header: dict[str, Any] | None, path: str
) -> None:
    report = check_submission(source, filename, header)
    assert report.manifest is None
    assert [finding.path for finding in report.findings] == [path]


def test_leaked_secrets_are_errors_in_manifests_and_code() -> None:
    key = "AKIA" + "ABCDEFGHIJKLMNOP"
    for report in (
        check_submission(weather(description=key), "weather.yaml", None),
        check_submission(CODE + f"\n// {key}".encode(), "twice.js", HEADER),
    ):
        leaks = [finding for finding in report.findings if finding.rule == "leaked-secret"]
        assert [leak.severity for leak in leaks] == [Severity.ERROR]
        assert key not in str(leaks)


def test_an_author_is_told_where_and_how_to_put_it_right() -> None:
    filename = "currency-converter.yaml"
    findings = check_submission((EXAMPLES / filename).read_bytes(), filename, None).findings
    told = invalid_manifest(filename, findings[:1])
    assert told.reason == "MANIFEST_INVALID"
    assert told.place == "currency-converter.yaml:1:1"
    assert told.metadata == {"findings": "1"}
    assert told.violations == {
        "capability.permissions": "1:1 convert needs network.http.get (add network.http.get to `permissions`)"
    }


def test_findings_of_one_path_are_told_together_and_those_of_none_under_the_file() -> None:
    findings = [
        Finding("a", Severity.ERROR, "first", "capability.id", 2, 3),
        Finding("b", Severity.ERROR, "second", "capability.id", 2, 9, "mend it"),
        Finding("c", Severity.ERROR, "third", line=7, column=1),
    ]
    assert invalid_manifest("x.yaml", findings).violations == {
        "capability.id": "2:3 first; 2:9 second (mend it)",
        "x.yaml": "7:1 third",
    }


def test_however_much_is_wrong_the_error_fits_in_headers() -> None:
    findings = [Finding("rule", Severity.ERROR, "x" * 5000, f"capability.actions[{i}]") for i in range(1000)]
    told = invalid_manifest("x.yaml", findings)
    assert told.metadata == {"findings": "1000"}
    assert len(to_status(told).SerializeToString()) < 32 * 1024
    assert from_status(to_status(told)).violations == told.violations


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (b"a: &a [x]\nb: [*a, *a]", 1),
        (b"capability:\n  id: x\n  id: y", 3),
        (b"capability:\n  id: !!python/object:os.system x", 2),
        (b"capability:\n  id: \xff", 2),
        (b"capability: " + b"[" * 100, 1),
        (json.dumps({"x": "y" * MAX_BYTES}).encode(), 1),
    ],
)
def test_a_file_that_is_no_manifest_is_refused_with_its_line(source: bytes, line: int) -> None:
    report = check_submission(source, "bad.yaml", None)
    assert report.manifest is None
    assert report.findings[0].line == line
