"""From what a run keeps to an explanation: every way to end has one, names what was refused, and never guesses."""

import ast
import json
from pathlib import Path

import pytest

from hardpoint.errors.v1.error_reason_pb2 import ErrorReason
from hardpoint_cli.endings import ENDINGS
from hardpoint_cli.explanation import explain, lines_of
from hardpoint_executor.broker.denial import DenialCode
from hardpoint_executor.domain import outcomes
from hardpoint_executor.runners import code
from hardpoint_manifest.finding import PatchOp, apply_patch

ROOT = Path(__file__).parents[2]
FIRST_ENDING = 70
PAST_THEM = 200
"""The reasons of errors.proto between them are how an action ended, and what the broker refuses."""
BEFORE_IT_BEGAN = {"HEADER_UNREADABLE", "JAIL_UNAVAILABLE", "NO_EXECUTOR", "QUEUE_FULL", "TICKET_INVALID"} | {
    "CASSETTE_INVALID"
}
"""What the executor answers instead of an execution, of which there is no run."""


WALKED = ("below", "callees", "children", "lending", "outcomes", "steps", "stretch")
"""What of the runtime says how steps of workflows end."""


def reasons_of(path: Path) -> set[str]:
    words = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.keyword))
    return {one.value.value for one in words if one.arg == "reason" and isinstance(one.value, ast.Constant)}


def reasons_in(folder: str) -> set[str]:
    return set().union(*map(reasons_of, (ROOT / folder).rglob("*.py")))


def test_every_reason_that_an_execution_can_end_with_has_an_explanation() -> None:
    declared = {name for name, number in ErrorReason.items() if FIRST_ENDING <= number < PAST_THEM}
    known = declared | {code.value for code in DenialCode} | set(outcomes._OUTCOMES) | set(code._REASONS.values())
    raised = reasons_in("services/hardpoint_executor") - BEFORE_IT_BEGAN
    assert known | raised <= set(ENDINGS)
    assert set(ENDINGS) <= set(ErrorReason.keys())


def test_what_a_workflow_waits_for_or_ends_with_has_an_explanation() -> None:
    waits = {"APPROVAL_REQUIRED", "EVENT_AWAITED", "MAY_HAVE_HAPPENED"}
    folder = ROOT / "services/hardpoint_runtime"
    walked = [*(folder / f"service/{name}.py" for name in WALKED), folder / "domain/callees.py"]
    assert waits | set().union(*map(reasons_of, walked)) <= set(ENDINGS)


@pytest.mark.parametrize("reason", ENDINGS)
def test_an_explanation_says_what_and_what_to_do(reason: str) -> None:
    bare = explain(reason, "it is so", "", {})
    assert bare.kind
    assert bare.caller
    assert bare.author
    told = explain(reason, "it is so", "do this", {})
    assert "do this" in (told.caller, told.author)
    assert told.caller
    assert told.author


@pytest.mark.parametrize(
    ("reason", "facts", "named"),
    [
        ("HOST_NOT_GRANTED", {"host": "evil.test"}, {"host": "evil.test"}),
        (
            "PERMISSION_NOT_GRANTED",
            {"permission": "network.http.post", "method": "POST"},
            {"permission": "network.http.post", "method": "POST"},
        ),
        ("SECRET_NOT_FOR_HOST", {"secret": "API_KEY", "host": "evil.test"}, {"secret": "API_KEY", "host": "evil.test"}),
        ("BUDGET", {"budget": "broker_calls", "limit": "10"}, {"budget": "broker_calls", "limit": "10"}),
        ("UPSTREAM_ERROR", {"status": "403", "error": "bad key"}, {"status": "403", "upstream said": "bad key"}),
        ("TYPE_MISMATCH", {"wanted": "number", "got": "string"}, {"declared": "number", "got": "string"}),
        ("NOT_JSON", {"content_type": "text/html"}, {"content type": "text/html"}),
        ("MAPPING_MISSING", {"path": "data.temp"}, {"looked for": "data.temp"}),
        ("VIOLATION", {"signal": "SIGSYS"}, {"signal": "SIGSYS"}),
        ("VIOLATION", {"syscall": "ptrace"}, {"system call": "ptrace"}),
        ("FILE_NOT_FOUND", {"file": "report.csv"}, {"file": "report.csv"}),
        (
            "REDIRECT_REFUSED",
            {"host": "b.test", "redirected_by": "a.test", "because": "HOST_NOT_GRANTED"},
            {"host": "b.test", "redirected by": "a.test", "because": "HOST_NOT_GRANTED"},
        ),
    ],
)
def test_what_was_refused_is_named(reason: str, facts: dict[str, str], named: dict[str, str]) -> None:
    told = explain(reason, "no", "", facts)
    assert (told.named, told.path) == (named, "")


def test_a_violation_whose_call_is_known_says_what_to_take_out() -> None:
    told = explain("VIOLATION", "no", "take out what calls ptrace", {"syscall": "ptrace"})
    assert told.author == "take out what calls ptrace"
    assert "not install" in told.caller


def test_a_violation_does_not_pretend_to_know_the_call() -> None:
    told = explain("VIOLATION", "no", "", {"signal": "SIGSYS"})
    assert "is not known" in told.author
    assert "system call" not in told.named


@pytest.mark.parametrize(
    ("name", "message", "named", "hint"),
    [
        ("PermissionError", "[Errno 1] Operation not permitted", {}, "system call"),
        ("FileNotFoundError", "[Errno 2] No such file or directory: '/etc/shadow'", {"path": "/etc/shadow"}, "jail"),
        ("OSError", "[Errno 30] Read-only file system: '/x'", {"path": "/x"}, "/tmp"),
        ("Error", "EPERM: operation not permitted, kill", {"system call": "kill"}, "system call"),
        (
            "Error",
            "ENOENT: no such file or directory, open '/etc/shadow'",
            {"system call": "open", "path": "/etc/shadow"},
            "jail",
        ),
        ("Error", "connect EPERM 1.1.1.1:80 - Local (undefined:undefined)", {"system call": "connect"}, "no network"),
        ("Error", "getaddrinfo EAI_AGAIN example.com", {"system call": "getaddrinfo"}, "no network"),
        ("Error", "queryA ECONNREFUSED example.com", {"system call": "queryA"}, "no network"),
        ("gaierror", "[Errno -3] Temporary failure in name resolution", {}, "no network"),
        ("ModuleNotFoundError", "No module named 'requests'", {}, "standard library"),
        ("ValueError", "too long", {}, "correct the code"),
    ],
)
def test_what_a_jail_refuses_to_code_is_read_from_its_exception(
    name: str, message: str, named: dict[str, str], hint: str
) -> None:
    told = explain("USER_ERROR", f"{name}: {message}", "", {"name": name})
    assert told.named == {"exception": name, **named}
    assert hint in told.author


def test_a_patch_becomes_the_lines_of_a_code_file() -> None:
    patch = json.dumps([{"op": "add", "path": "/hosts", "value": ["a.test", "b.test"]}])
    told = explain("HOST_NOT_GRANTED", "no", "", {"patch": patch, "path": "hosts", "author": "write it"})
    assert lines_of(told.patch, "plugin.py") == ['hosts=["a.test", "b.test"],']
    assert lines_of(told.patch, "plugin.mjs") == ['hosts: ["a.test", "b.test"],']
    assert lines_of(told.patch, "plugin.yaml") == []
    assert (told.path, told.author) == ("hosts", "write it")


@pytest.mark.parametrize("text", ["", "{", "{}", '["x"]', '[{"op": "add"}]', "null"])
def test_what_is_no_patch_is_shown_as_none(text: str) -> None:
    assert list(explain("HOST_NOT_GRANTED", "no", "", {"patch": text}).patch) == []


def test_code_that_came_to_the_end_of_its_tier_is_offered_the_next_one() -> None:
    header = {"permissions": ["network.http.get", "compute.light"]}
    told = explain("TIMEOUT", "late", "", {"limit": "1 s"}, header["permissions"], "plugin.py")
    [operation] = told.patch
    assert apply_patch(header, [PatchOp(**operation)])["permissions"] == ["network.http.get", "compute.moderate"]
    assert "10 s" in told.author
    assert not explain("TIMEOUT", "late", "", {"limit": "60 s"}, ["compute.heavy"], "plugin.py").patch
    assert not explain("TIMEOUT", "late", "", {}, (), "weather.yaml").patch


def test_a_reason_of_a_newer_server_is_shown_as_it_is() -> None:
    assert "NEWER" in explain("NEWER", "no", "", {}).kind
