"""What a code file asks to be run with: an engine of its language, libraries that there are."""

from typing import Any

import pytest

from hardpoint_manifest.check import Report, check
from hardpoint_manifest.engine import LIBRARIES
from hardpoint_manifest.load import load_code
from hardpoint_manifest.model import Kind, Manifest
from manifest.documents import analyzer, http, only, patched, report, rules


def python(**changes: object):
    source = b'from hardpoint_sdk import capability\n\ncapability(id="x", libraries=["numpi"], engine="node")\n'
    header = {"id": "x", "version": "1.0.0", "actions": [{"id": "go", "async": True, "declared": True}], **changes}
    return load_code(source, "x.py", header)


def told(checked: Report, rule: str) -> tuple[int, str, str]:
    finding = only(checked.findings, rule)
    return finding.line, finding.message, finding.fix


@pytest.mark.parametrize(("engine", "chosen"), [(None, "node"), ("node", "node"), ("quickjs", "quickjs")])
def test_javascript_runs_on_the_engine_that_it_names_and_else_on_node(engine: str | None, chosen: str) -> None:
    checked = check(analyzer(**({"engine": engine} if engine else {})))
    assert checked.ok
    assert checked.manifest is not None
    assert (checked.manifest.engine, checked.manifest.libraries) == (chosen, ())


def test_an_unknown_engine_is_an_error_that_names_the_nearest() -> None:
    document = analyzer(engine="quikjs")
    assert told(check(document), "unknown-engine")[1:] == (
        "there is no engine 'quikjs' for javascript",
        "did you mean quickjs?",
    )
    assert patched(document, only(check(document).findings, "unknown-engine")).ok
    assert told(check(analyzer(engine="hermes")), "unknown-engine")[2] == "choose one of node, quickjs"


def test_python_has_one_engine() -> None:
    checked = check(python(engine="node"))
    assert told(checked, "unknown-engine") == (3, "Python has one engine, so none can be chosen", "remove `engine`")
    assert checked.manifest is not None
    assert checked.manifest.engine is None


def test_code_may_ask_for_a_jail_of_its_own_for_every_call() -> None:
    for document in (python(isolation="strict"), analyzer(isolation="strict"), analyzer(engine="node")):
        assert check(document).ok
    assert [check(python(**asked)).manifest.isolation for asked in ({"isolation": "strict"}, {})] == ["strict", None]


def test_code_and_flows_may_let_the_calls_of_a_run_share_a_jail() -> None:
    for document in (python(isolation="run"), analyzer(engine="quickjs", isolation="run")):
        checked = check(document)
        assert (checked.ok, checked.manifest and checked.manifest.isolation) == (True, "run")
        assert "isolation-without-effect" not in rules(checked.findings)
    fix = told(check(analyzer(isolation="run")), "isolation-without-effect")[2]
    assert fix == "choose quickjs, or remove `isolation`"
    graph = {"nodes": [{"id": "start", "type": "input"}, {"id": "end", "type": "output"}], "isolation": "run"}
    drawn = report(http(flow={**graph, "edges": [{"from": "start", "to": "end"}]}, actions=None, integration=None))
    assert drawn.ok, drawn.findings
    assert drawn.manifest is not None
    assert drawn.manifest.isolation == "run"


def test_an_unknown_isolation_is_an_error() -> None:
    document = python(isolation="strickt")
    finding = only(check(document).findings, "unknown-isolation")
    assert (finding.message, finding.fix) == (
        "there is no isolation 'strickt'",
        "write strict or run, or remove `isolation`",
    )
    assert patched(document, finding).ok
    assert only(check(python(isolation="slots")).findings, "unknown-isolation").patch == ()


def test_quickjs_cannot_be_strict() -> None:
    document = analyzer(engine="quickjs", isolation="strict")
    finding = only(check(document).findings, "engine-not-strict")
    assert finding.path == "isolation"
    assert "quickjs runs in slots alone" in finding.message
    assert finding.fix == "choose node, or remove `isolation`"
    mended = patched(document, finding)
    assert mended.ok
    assert mended.manifest is not None
    assert (mended.manifest.engine, mended.manifest.isolation) == ("node", "strict")


def test_libraries_are_asked_for_by_the_name_of_their_package() -> None:
    checked = check(python(libraries=["numpy", "python-dateutil", "numpy"]))
    assert checked.ok
    assert checked.manifest is not None
    assert checked.manifest.libraries == ("numpy", "python-dateutil")


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("numpi", "did you mean numpy?"),
        ("dateutil", "did you mean python-dateutil?"),
        ("dateutil.parser", "did you mean python-dateutil?"),
        ("tensorflow", f"there are {', '.join(LIBRARIES)}"),
    ],
)
def test_an_unknown_library_is_an_error_that_names_the_nearest(name: str, fix: str) -> None:
    document = python(libraries=["tzdata", name])
    finding = only(check(document).findings, "unknown-library")
    assert (finding.path, finding.message, finding.fix) == ("libraries[1]", f"there is no library {name!r}", fix)
    if finding.patch:
        assert patched(document, finding).ok


def test_an_import_of_pandas_takes_most_of_the_lightest_tier() -> None:
    document = python(libraries=["pandas"], permissions=["compute.light"])
    assert told(check(document), "slow-library")[2] == "ask for compute.moderate"
    assert check(document).ok
    assert "slow-library" not in rules(check(python(libraries=["pandas"], permissions=["compute.moderate"])).findings)
    assert "slow-library" not in rules(check(python(libraries=["numpy"])).findings)


def test_javascript_has_no_libraries_yet() -> None:
    checked = check(analyzer(libraries=["lodash"]))
    assert told(checked, "unknown-library")[1:] == ("there are libraries for Python only", "remove `libraries`")
    assert checked.manifest is not None
    assert checked.manifest.libraries == ()


@pytest.mark.parametrize("field", [{"engine": "node"}, {"libraries": ["numpy"]}, {"isolation": "strict"}])
def test_what_holds_no_code_asks_for_none_of_it(field: dict[str, object]) -> None:
    assert only(report(http(**field)).findings, "unknown-key").path == f"capability.{next(iter(field))}"


@pytest.mark.parametrize(
    "wrong",
    [{"engine": 1}, {"isolation": True}, {"libraries": "numpy"}, {"libraries": [1]}, {"libraries": ["numpy"] * 21}],
)
def test_another_shape_is_refused(wrong: dict[str, object]) -> None:
    assert not check(python(**wrong)).ok


@pytest.mark.parametrize(
    "wrong",
    [
        {"language": "python", "engine": "node"},
        {"language": "javascript", "libraries": ("numpy",)},
        {"kind": Kind.HTTP, "engine": "node"},
        {"kind": Kind.HTTP, "isolation": "strict"},
        {"language": "javascript", "engine": "quickjs", "isolation": "strict"},
        {"kind": Kind.HTTP, "isolation": "run"},
        {"kind": Kind.HTTP, "libraries": ("numpy",)},
    ],
)
def test_no_manifest_promises_what_its_language_has_not(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="belong"):
        Manifest(**{"id": "x", "name": "X", "version": "1.0.0", "kind": Kind.CODE, **wrong})
