"""Workflows: from what is written to a plan, and what is found on the way."""

from typing import Any

import pytest

from hardpoint_manifest.check import Report, check
from hardpoint_manifest.finding import Severity
from hardpoint_manifest.model import Manifest
from hardpoint_manifest.plan import After, Does, Plan, Retry
from manifest.documents import analyzer, document, example, only, patched, report, rules

CALL = {"action": "desk.look-up"}


def workflow(*steps: dict[str, Any], **words: Any) -> dict[str, Any]:
    """A workflow of these steps; `configuration` and `permissions` are the capability's."""
    outer = {key: words.pop(key) for key in ("configuration", "permissions", "triggers", "id") if key in words}
    return {"capability": {"id": "flow", "version": "1.0.0", "workflow": {"steps": list(steps), **words}, **outer}}


def plan(*steps: dict[str, Any], **words: Any) -> Plan:
    found = report(workflow(*steps, **words))
    assert found.manifest is not None
    assert found.manifest.plan is not None, found.findings
    return found.manifest.plan


def manifest(found: Report) -> Manifest:
    assert found.manifest is not None
    return found.manifest


def error(*steps: dict[str, Any], **words: Any) -> tuple[str, str, str, str]:
    """The one error: its rule, path below the workflow, message and fix."""
    found = report(workflow(*steps, **words))
    (one,) = [finding for finding in found.findings if finding.severity is Severity.ERROR]
    return one.rule, one.path.removeprefix("capability.workflow."), one.message, one.fix


def test_the_invoice_processor_byte_for_byte_can_be_published():
    found = check(example("invoice-processor.yaml"))
    assert found.ok
    release = manifest(found)
    (action,) = release.actions
    assert (action.id, action.effect) == ("run", "write")
    assert [(one.name, one.type, one.required) for one in action.inputs] == [("file", "file", True)]
    assert release.calls == (
        "ocr.extract",
        "ai.analyze",
        "validate.schema",
        "database.insert",
        "email.send",
        "notify.admin",
    )
    assert set(release.permissions) >= {"file.read", "ai.call", "data.write", "integration.email"}
    (trigger,) = release.triggers
    assert (trigger.type, trigger.event, trigger.action) == ("event", "file.uploaded", "run")
    assert trigger.input == {"file": "${event.file}"}
    assert trigger.filter == "file.type === 'pdf' && file.name.includes('invoice')"

    assert release.plan is not None
    steps = {step.id: step for step in release.plan.steps}
    assert list(steps) == ["extract", "analyze", "validate", "store", "notify"]
    assert steps["extract"].input == {"input": "${trigger.file}"}
    assert steps["store"].input == {"table": "invoices", "data": "${validated_data}"}
    assert steps["store"].after == (After(step="validate", port="settled"),)
    assert steps["validate"].input == {"input": "${invoice_data}", "schema": "${settings.invoice_schema}"}
    assert [step.retry.attempts for step in steps.values()] == [4, 4, 4, 4, 4]
    assert release.plan.on_error is not None
    assert (release.plan.on_error.action, release.plan.on_error.input) == ("notify.admin", {"error": "${error}"})


def test_what_is_written_beside_an_action_becomes_its_input():
    inputs = {
        "alone": {"input": "${input.x}"},
        "whole": {"input": {"a": 1}},
        "both": {"input": {"a": 1}, "b": 2},
        "keys": {"name": "n", "b": "${input.x}"},
        "none": {},
    }
    steps = {step.id: step.input for step in plan(*({"id": id, **CALL, **more} for id, more in inputs.items())).steps}
    assert steps == {
        "alone": {"input": "${input.x}"},
        "whole": {"a": 1},
        "both": {"input": {"a": 1}, "b": 2},
        "keys": {"name": "n", "b": "${input.x}"},
        "none": {},
    }


def test_what_a_step_says_is_in_the_plan():
    step = plan(
        {
            "id": "a",
            "label": "Look up",
            **CALL,
            "if": "${input.on}",
            "for_each": "input.list",
            "max_items": 5,
            "timeout": 30,
            "retry": {"attempts": 3, "seconds": 2, "backoff": 3},
            "on_error": "continue",
            "idempotency_key": "${item}",
            "effect": "write",
            "revert": {"action": "desk.forget", "id": "${output} of ${item}"},
            "output": "found",
        }
    ).steps[0]
    assert (step.name, step.when, step.for_each, step.most) == ("Look up", "input.on", "input.list", 5)
    assert (step.timeout_seconds, step.retry) == (30, Retry(attempts=3, seconds=2, backoff=3))
    assert (step.on_error, step.idempotency_key, step.effect, step.output) == ("continue", "${item}", "write", "found")
    assert step.revert is not None
    assert (step.revert.id, step.revert.action, step.revert.input) == (
        "revert-a",
        "desk.forget",
        {"id": "${output} of ${item}"},
    )


def test_steps_that_are_built_in():
    steps = plan(
        {"id": "a", "action": "wait", "seconds": 60},
        {"id": "b", "action": "wait", "until": "2030-01-01T00:00:00Z"},
        {"id": "c", "action": "approve", "message": "Really, ${input.who}?", "timeout": 86400},
        {"id": "d", "action": "event", "name": "paid", "timeout": 60},
        {"id": "e", "action": "transform", "value": {"n": "${input.n}"}},
    ).steps
    assert [(step.does, step.input) for step in steps] == [
        (Does.WAIT, 60),
        (Does.WAIT, "2030-01-01T00:00:00Z"),
        (Does.APPROVAL, "Really, ${input.who}?"),
        (Does.EVENT, "paid"),
        (Does.VALUE, {"n": "${input.n}"}),
    ]


def test_an_approval_may_be_somebody_elses():
    ask = {"action": "approve", "message": "Really?"}
    steps = plan({"id": "a", **ask, "by": "somebody-else"}, {"id": "b", **ask}, {"id": "c", **CALL, "by": "bus"}).steps
    assert [(step.by, step.input) for step in steps[:2]] == [("somebody-else", "Really?"), ("", "Really?")]
    assert (steps[2].by, steps[2].input["by"]) == ("", "bus")


def test_needs_make_other_ways_than_a_line():
    steps = plan(
        {"id": "last", **CALL, "needs": ["b", "c"]},
        {"id": "a", **CALL, "needs": []},
        {"id": "b", **CALL, "needs": ["a"]},
        {"id": "c", **CALL, "needs": ["a"]},
    ).steps
    assert [step.id for step in steps] == ["a", "b", "c", "last"]
    assert steps[-1].after == (After(step="b"), After(step="c"))


def test_a_step_that_is_done_on_errors_is_not_in_the_line():
    made = plan(
        {"id": "a", **CALL},
        {"id": "tell", **CALL, "what": "${error}"},
        {"id": "b", **CALL},
        error_handling={"on_error": "tell"},
    )
    assert [(step.id, [edge.step for edge in step.after]) for step in made.steps] == [("a", []), ("b", ["a"])]
    assert made.on_error is not None
    assert (made.on_error.id, made.on_error.input) == ("tell", {"what": "${error}"})


def test_what_is_done_on_errors_may_be_written_there():
    handling = {"on_error": {"action": "notify.admin", "message": "${input.who}: it failed"}}
    made = plan({"id": "a", **CALL}, error_handling=handling)
    assert made.on_error is not None
    assert (made.on_error.id, made.on_error.action) == ("on-error", "notify.admin")


def test_a_schema_is_put_where_it_is_named():
    schema = {"type": "object", "properties": {"n": {"type": "number"}}}
    words = {"schemas": {"one": schema}}
    made = plan({"id": "a", "action": "validate.schema", "input": "${input}", "schema": "one"}, **words)
    assert made.steps[0].input == {"input": "${input}", "schema": schema}
    found = report(workflow({"id": "a", "action": "validate.schema", "input": 1, "schema": "two"}, **words))
    assert [one.key for one in manifest(found).requirements] == ["two"]
    again = patched(
        document(workflow({"id": "a", "action": "validate.schema", "input": 1, "schema": "two"})),
        only(
            report(workflow({"id": "a", "action": "validate.schema", "input": 1, "schema": "two"})).findings,
            "derived-setting",
        ),
    )
    assert manifest(again).requirements == ()


def test_a_declared_setting_is_the_schema():
    setting = [{"key": "two", "type": "object", "required": True}]
    step = {"id": "a", "action": "validate.schema", "input": 1, "schema": "two"}
    found = report(workflow(step, configuration=setting))
    assert [(one.key, one.declared) for one in manifest(found).requirements] == [("two", True)]
    assert "derived-setting" not in rules(found.findings)
    wrong = error(step, configuration=[{"key": "two", "type": "string"}])
    assert wrong[:3] == (
        "step-input",
        "steps[0].schema",
        "settings.two is string, and `schema` of validate.schema wants object",
    )


EASED = Retry(attempts=3, harmless=True)


@pytest.mark.parametrize(
    ("step", "retry", "warned"),
    [
        ({"action": "ocr.extract", "input": "${input}"}, EASED, False),
        ({"action": "database.insert", "table": "t", "data": {}}, EASED, False),
        ({"action": "email.send", "to": "a", "subject": "b", "body": "c"}, EASED, True),
        ({"action": "email.send", "to": "a", "subject": "b", "body": "c", "idempotency_key": "k"}, EASED, True),
        ({"action": "email.send", "to": "a", "subject": "b", "body": "c", "retry": 1}, Retry(attempts=2), True),
        ({"action": "desk.look-up"}, EASED, True),
        ({"action": "desk.look-up", "effect": "read"}, EASED, False),
        ({"action": "desk.look-up", "effect": "read", "retry": 2}, Retry(attempts=3), False),
        ({"action": "desk.look-up", "effect": "write"}, EASED, True),
        ({"action": "desk.put", "idempotency_key": "${input.k}"}, EASED, False),
        ({"action": "wait", "seconds": 1}, Retry(), False),
    ],
)
def test_what_a_workflow_says_of_all_steps_is_told_from_their_own(step: dict[str, Any], retry: Retry, warned: bool):
    data = workflow({"id": "a", **step}, error_handling={"retry": 2})
    found = report(data)
    made = manifest(found).plan
    assert made is not None
    assert made.steps[0].retry == retry
    assert ("retry-without-key" in rules(found.findings)) == warned
    if warned:
        after = patched(document(data), only(found.findings, "retry-without-key"))
        assert "retry-without-key" not in rules(after.findings)


def test_permissions_are_those_of_the_standard_actions_unless_some_are_written():
    mail = {"id": "a", "action": "email.send", "to": "a", "subject": "b", "body": "c"}
    found = report(workflow(mail))
    assert set(manifest(found).permissions) == {"integration.email", "compute.moderate"}
    assert only(found.findings, "derived-permission").severity is Severity.WARNING
    data = workflow(mail, permissions=["compute.moderate"])
    missing = only(report(data).findings, "missing-permission")
    assert missing.message == "email.send needs integration.email"
    assert patched(document(data), missing).ok


def test_code_says_what_it_calls():
    found = check(analyzer(calls=["email.send", "desk.look-up", "email.sned"]))
    assert manifest(found).calls == ("email.send", "desk.look-up", "email.sned")
    assert only(found.findings, "unknown-action").path == "calls[2]"
    assert only(found.findings, "missing-permission").message.startswith("email.send needs integration.email")


A = {"id": "a", **CALL}
ERRORS: dict[str, tuple[list[dict[str, Any]], dict[str, Any], tuple[str, str, str, str]]] = {
    "a circle": (
        [{**A, "needs": ["c"]}, {"id": "b", **CALL, "needs": ["a"]}, {"id": "c", **CALL, "needs": ["b"]}],
        {},
        ("circle", "steps[0].needs", "steps wait for each other: a -> b -> c -> a", "remove one from `needs`"),
    ),
    "an unknown step": (
        [A, {"id": "b", **CALL, "needs": ["aa"]}],
        {},
        ("dangling-reference", "steps[1].needs[0]", "there is no step aa", "did you mean a?"),
    ),
    "a step that is done on errors": (
        [A, {"id": "b", **CALL, "needs": ["a"]}],
        {"error_handling": {"on_error": "a"}},
        ("dangling-reference", "steps[1].needs[0]", "a is only done when a step failed", ""),
    ),
    "the same id twice": (
        [A, A],
        {},
        ("duplicate-id", "steps[1].id", "the step a is given twice; the first is in line 8", "give it another name"),
    ),
    "an unknown action of a standard capability": (
        [{"id": "a", "action": "email.sent"}],
        {},
        (
            "unknown-action",
            "steps[0].action",
            "email has no action sent; it has email.attachments, email.list, email.read, email.send",
            "did you mean email.send?",
        ),
    ),
    "no action": (
        [{"id": "a", "action": "wiat", "seconds": 1}],
        {},
        (
            "unknown-action",
            "steps[0].action",
            "'wiat' names no action: write capability.action",
            "did you mean wait?",
        ),
    ),
    "no word for it": (
        [{"id": "a", "action": "until-somebody-pays"}],
        {},
        (
            "unknown-action",
            "steps[0].action",
            "'until-somebody-pays' names no action: write capability.action",
            "such as email.send; what needs no capability is approve, event, transform, wait",
        ),
    ),
    "itself": (
        [{"id": "a", "action": "flow.run"}],
        {},
        (
            "calls-itself",
            "steps[0].action",
            "flow.run is an action of this capability: it would call itself",
            "repeat with for_each, or make a second capability of it",
        ),
    ),
    "nobody to tell": (
        [A],
        {"error_handling": {"on_error": "notify_admn"}},
        ("dangling-reference", "error_handling.on_error", "there is no step notify_admn", "did you mean notify_admin?"),
    ),
    "an unknown trigger": (
        [A],
        {"trigger": "file_uplaod"},
        ("dangling-reference", "trigger", "there is no trigger 'file_uplaod'", "did you mean file_upload?"),
    ),
    "a filter of nothing": (
        [A],
        {"filter": "true"},
        (
            "filter-unused",
            "filter",
            "a filter decides about what a trigger brings, and this workflow is only called",
            "remove it, or name the trigger",
        ),
    ),
    "an approval by nobody that there is": (
        [{"id": "a", "action": "approve", "message": "Really?", "by": "anyone"}],
        {},
        ("step-input", "steps[0].by", "'anyone' is nobody who can approve", "write somebody-else, or leave it out"),
    ),
    "a wait for nothing": (
        [{"id": "a", "action": "wait"}],
        {},
        ("step-input", "steps[0]", "wait takes seconds or until", "write seconds"),
    ),
    "a wait that is given something": (
        [{"id": "a", "action": "wait", "seconds": 1, "input": 2}],
        {},
        ("step-input", "steps[0].input", "wait takes no `input`", "remove it"),
    ),
    "nothing but the step that is done on errors": (
        [A],
        {"error_handling": {"on_error": "a"}},
        (
            "no-steps",
            "error_handling.on_error",
            "no step is left besides the one that is done on errors",
            "add a step",
        ),
    ),
    "an output that no expression can name": (
        [{**A, "output": "my-output"}],
        {},
        (
            "reserved-name",
            "steps[0].output",
            "my-output cannot be the name of an output: expressions could not use it",
            "use letters, digits and underscore, and another word",
        ),
    ),
    "what an upload does not give": (
        [A],
        {"trigger": "file_upload", "inputs": {"file": {"type": "file"}, "who": {"type": "string", "required": True}}},
        (
            "trigger-input",
            "inputs",
            "an upload gives the input `file`, and no `who`, which is required",
            "give who a default",
        ),
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_stand_where_they_are_made(case: str):
    steps, words, wanted = ERRORS[case]
    assert error(*steps, **words) == wanted


@pytest.mark.parametrize(
    ("filter", "rule", "words"),
    [
        (
            "file.size > 1 && file.constructor.constructor('return process')()",
            "undeclared-name",
            "file.constructor is not declared at character 18 of the expression",
        ),
        ("process.exit(1)", "undeclared-name", "process is not declared at character 1 of the expression"),
        ("(" * 10_000 + ")" * 10_000, "invalid-value", "at most 4096 characters"),
        ("(" * 2000 + "true" + ")" * 2000, "expression-invalid", "inside each other at character 25 of the expression"),
        ("file.name", "expression-type", "a filter is true or false, and this is string"),
        ("file.size === '1'", "expression-type", "'==' does not work on (int, string) at character 11"),
    ],
)
def test_a_hostile_filter_is_refused_with_the_position(filter: str, rule: str, words: str):
    found = report(workflow(A, trigger="file_upload", filter=filter))
    assert not found.ok
    finding = only(found.findings, rule)
    assert (finding.path, finding.line) == ("capability.workflow.filter", 13)
    assert words in finding.message


def test_a_filter_of_another_trigger_knows_what_it_brings():
    hook = {"id": "hook", "type": "webhook", "verifier": {"kind": "hmac", "secret": "KEY"}}
    words = {"triggers": [hook], "configuration": [{"key": "KEY", "type": "secret"}]}
    found = report(workflow(A, trigger="hook", filter="${trigger.kind == 'paid'}", **words))
    (trigger,) = manifest(found).triggers
    assert (trigger.action, trigger.filter) == ("run", "trigger.kind == 'paid'")


def test_a_workflow_has_nothing_beside_it():
    data = workflow(A)
    data["capability"]["actions"] = [{"id": "x"}]
    assert only(report(data).findings, "two-kinds").path == "capability.actions"
    nothing = report({"capability": {"id": "x", "version": "1.0.0", "type": "workflow"}})
    assert only(nothing.findings, "no-workflow").path == "capability.type"
