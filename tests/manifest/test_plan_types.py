"""What steps give each other fits, and is there by then: found before anything runs."""

from typing import Any

import pytest

from hardpoint_manifest.finding import Severity
from manifest.documents import document, only, patched, report, rules
from manifest.test_workflow import CALL, error, manifest, workflow

SCHEMA = {
    "type": "object",
    "properties": {"total": {"type": "string"}, "lines": {"type": "array", "items": {"type": "number"}}},
    "required": ["total"],
    "additionalProperties": False,
}
EXTRACT = {"id": "extract", "action": "ai.analyze", "input": "x", "prompt": "p", "schema": SCHEMA, "output": "found"}
MAIL = {"id": "mail", "action": "email.send", "to": "a@b.c", "subject": "s", "body": "b"}


@pytest.mark.parametrize(
    ("step", "path", "message"),
    [
        (
            {"id": "a", "action": "database.query", "sql": "select 1", "params": "${steps.extract.total}"},
            "steps[1].params",
            "steps.extract.total is string, and `params` of database.query wants array",
        ),
        (
            {"id": "a", "action": "database.query", "sql": "select 1", "params": "${found.total}"},
            "steps[1].params",
            "found.total is string, and `params` of database.query wants array",
        ),
        (
            {"id": "a", "action": "database.query", "input": {"sql": "${size(found.total)}"}},
            "steps[1].input.sql",
            "size(found.total) is integer, and `sql` of database.query wants string",
        ),
        (
            {"id": "a", "action": "ocr.extract", "input": "${found.total}"},
            "steps[1].input",
            "found.total is string, and `input` of ocr.extract wants file",
        ),
        (
            {"id": "a", "action": "ocr.extract", "input": "${input.file}", "language": "fr"},
            "steps[1].language",
            "`language` of ocr.extract is 'fr'; it can be en, de",
        ),
        ({**MAIL, "subject": 3}, "steps[1].subject", "3 is integer, and `subject` of email.send wants string"),
        ({**MAIL, "subjct": "x"}, "steps[1].subjct", "email.send takes no `subjct`"),
        ({"id": "a", "action": "email.send", "to": "x", "body": "b"}, "steps[1]", "email.send needs `subject`"),
        (
            {**MAIL, "attachments": [1]},
            "steps[1].attachments[0]",
            "item 1 is integer, and `attachments` of email.send wants file",
        ),
        ({**MAIL, "if": "found.total"}, "steps[1].if", "found.total is string, where boolean is wanted"),
        ({**MAIL, "for_each": "found.total"}, "steps[1].for_each", "found.total is string, where array is wanted"),
        (
            {**MAIL, "for_each": "found.lines", "subject": "${item}"},
            "steps[1].subject",
            "item is number, and `subject` of email.send wants string",
        ),
        (
            {**MAIL, "subject": "${found.totl}"},
            "steps[1].subject",
            "found.totl is not declared at character 1 of the expression",
        ),
        (
            {**MAIL, "subject": "${1 + found.total}"},
            "steps[1].subject",
            "'+' does not work on (int, string) at character 3 of the expression",
        ),
        (
            {"id": "a", "action": "wait", "seconds": "${found.total}"},
            "steps[1].seconds",
            "${found.total} is string, where number is wanted",
        ),
        (
            {**CALL, "id": "a", "revert": {"action": "email.send", "to": 1, "subject": 2, "body": "c"}},
            "steps[1].revert.subject",
            "2 is integer, and `subject` of email.send wants string",
        ),
    ],
)
def test_what_does_not_fit_is_said_with_both_sides(step: dict[str, Any], path: str, message: str):
    found = error(EXTRACT, step, inputs={"file": {"type": "file", "required": True}})
    assert found[1:3] == (path, message)


@pytest.mark.parametrize(("key", "meant"), [("tiemout", "timeout"), ("ouput", "output"), ("subjct", "subject")])
def test_a_key_of_a_step_may_be_misspelt(key: str, meant: str):
    assert error({**MAIL, key: 3})[1:] == (f"steps[0].{key}", f"email.send takes no `{key}`", f"did you mean {meant}?")


def test_what_fits_or_is_not_known_says_nothing():
    found = report(
        workflow(
            EXTRACT,
            {"id": "rows", "action": "database.query", "sql": "select 1", "params": "${found.lines}"},
            {**CALL, "id": "b", "for_each": "steps.rows.rows", "who": "${item.anything}", "n": "${index + 1}"},
            {**MAIL, "subject": "${steps.b[0].x}", "body": "${found.total} of ${trigger.x}"},
        )
    )
    assert found.ok, found.findings
    assert not {"may-be-absent", "expression-type"} & rules(found.findings)


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ("${steps.late}", "steps.late is not there yet at character 1 of the expression: late does not", "let a come"),
        ("${after}", "after is not there yet at character 1 of the expression: late does not come before a", "let a"),
        ("${steps.a.x}", "steps.a is not there yet at character 1 of the expression: it is what a gives", ""),
        ("${steps.lte}", "steps.lte is not declared at character 1 of the expression", ""),
        ("${1 + settings.MANY}", "there is no setting MANY at character 5 of the expression", "declare it under"),
        ("${SIZE}", "SIZE is a setting at character 1 of the expression", "write settings.SIZE"),
        ("${settings.KEY}", "KEY is a secret at character 1 of the expression; only requests and code can", "use it"),
        ("${KEY}", "KEY is a secret at character 1 of the expression; only requests and code can", "use it"),
        ("${input.nme}", "input.nme is not declared at character 1 of the expression", "did you mean input.name?"),
    ],
)
def test_names_that_are_not_there(text: str, message: str, fix: str):
    settings = [{"key": "SIZE", "type": "number"}, {"key": "KEY", "type": "secret"}]
    steps = [{**CALL, "id": "a", "x": text}, {**CALL, "id": "late", "output": "after"}]
    found = error(*steps, configuration=settings, inputs={"name": {"type": "string"}})
    assert found[1] == "steps[0].x"
    assert found[2].startswith(message)
    assert found[3].startswith(fix)


def test_settings_are_known_with_their_types():
    words = {"configuration": [{"key": "SIZE", "type": "number"}]}
    assert report(workflow({**CALL, "id": "a", "x": "${settings.SIZE * 2.0}"}, **words)).ok
    assert error({**MAIL, "subject": "${settings.SIZE}"}, **words)[2].startswith("settings.SIZE is number, and")
    source = document(workflow({**CALL, "id": "a", "x": "${settings.MANY}"}))
    finding = only(report(source.data).findings, "undeclared-name")
    assert patched(source, finding).ok


@pytest.mark.parametrize(
    ("step", "warned"),
    [
        ({"x": "${steps.maybe}"}, True),
        ({"x": "${got.y}"}, True),
        ({"x": "${has(steps.maybe) ? steps.maybe : null}"}, False),
        ({"x": "${steps.maybe}", "if": "has(steps.maybe)"}, False),
        ({"x": "${steps.maybe}", "needs": ["maybe"]}, False),
        ({"x": "${steps.first}"}, False),
    ],
)
def test_the_output_of_a_step_that_may_be_skipped_is_warned_about(step: dict[str, Any], warned: bool):
    maybe = {**CALL, "id": "maybe", "if": "steps.first.ok == true", "output": "got"}
    found = report(workflow({**CALL, "id": "first"}, maybe, {**CALL, "id": "last", **step}))
    assert found.ok
    assert ("may-be-absent" in rules(found.findings)) == warned
    if warned:
        assert only(found.findings, "may-be-absent").path == "capability.workflow.steps[2].x"


def test_the_output_of_a_whole_fits_what_is_declared():
    outputs = {"total": {"type": "number", "required": True}, "who": {"type": "string"}}
    wrong = error(EXTRACT, outputs=outputs, output={"total": "${found.total}"})
    assert wrong == (
        "step-output",
        "output.total",
        "found.total is string, and `total` of the output of flow wants number",
        "convert it",
    )
    assert error(EXTRACT, outputs=outputs, output={"who": "x"})[2] == "the output of flow needs `total`"
    assert report(workflow(EXTRACT, outputs=outputs, output={"total": "${double(found.total)}"})).ok


def test_optional_inputs_are_left_out_where_nobody_gives_them():
    found = report(workflow({**CALL, "id": "a", "x": "${input.x}"}, inputs={"x": {"type": "string"}}))
    plan = manifest(found).plan
    assert plan is not None
    assert plan.optional == ("input.x",)


def test_more_expressions_than_a_capability_may_have_are_refused_at_once():
    steps = [{**CALL, "id": f"a{number}", **{f"k{key}": "${input.x}" * 9 for key in range(20)}} for number in range(99)]
    found = report(workflow(*steps))
    assert only(found.findings, "too-many-expressions").severity is Severity.ERROR
