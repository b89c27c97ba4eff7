"""Whatever is written: it is checked without raising, and what passes is a plan that can be walked to its end."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardpoint_manifest.check import Report, check
from hardpoint_manifest.finding import ManifestError, Severity
from hardpoint_manifest.load import load
from hardpoint_manifest.plan import Plan
from hardpoint_manifest.standard import STANDARD_ACTIONS
from hardpoint_manifest.walk import Compiled, Program, Settled, Walk
from manifest.documents import document, hostile, patched, report
from manifest.flows import IDS, JSON, TEXTS, Words, flows

EXPRESSIONS = st.sampled_from(
    [
        "true",
        "input.a == 1",
        "size(steps.n0) > 1",
        "item.x",
        "has(steps.n1)",
        "input.list",
        "steps.n2",
        "[1, 2]",
        "index > 0",
    ]
)
TEMPLATES = st.recursive(
    st.sampled_from(
        [
            "${input.a}",
            "${steps.n0}",
            "${steps.n3.x} y",
            "${item}",
            "${got}",
            "{{trigger.id}}",
            "plain",
            "${",
            "${nope}",
            1,
            None,
        ]
    )
    | st.sampled_from(["${settings.KEY}", "${settings.SIZE}", "${input.b}"]),
    lambda part: (
        st.lists(part, max_size=2) | st.dictionaries(st.sampled_from(["input", "a", "prompt", "to"]), part, max_size=3)
    ),
    max_leaves=4,
)
ACTIONS = st.sampled_from(
    [*STANDARD_ACTIONS, "desk.look-up", "desk", "wait", "approve", "event", "transform", "work.run"]
)
REFERENCES = st.sampled_from(IDS[:5])
STEPS = st.fixed_dictionaries(
    {"id": st.sampled_from(IDS), "action": ACTIONS},
    optional={
        "input": TEMPLATES,
        "to": TEMPLATES,
        "schema": st.sampled_from(["one", "two", "two words"]) | TEMPLATES,
        "seconds": st.integers(0, 9),
        "value": TEMPLATES,
        "name": TEMPLATES,
        "message": TEMPLATES,
        "output": st.sampled_from(["got", "steps", "other", "a-b"]),
        "if": EXPRESSIONS,
        "for_each": EXPRESSIONS,
        "needs": st.lists(REFERENCES, max_size=2),
        "retry": st.integers(0, 3) | st.just({"attempts": 2}),
        "on_error": st.sampled_from(["fail", "continue"]),
        "idempotency_key": st.just("${input.a}"),
        "effect": st.sampled_from(["read", "write"]),
        "revert": st.fixed_dictionaries({"action": ACTIONS}, optional={"to": TEMPLATES}),
    },
)
WORKFLOWS = st.fixed_dictionaries(
    {"steps": st.lists(STEPS, min_size=1, max_size=5)},
    optional={
        "trigger": st.sampled_from(["file_upload", "manual", "hook", "gone"]),
        "filter": EXPRESSIONS | TEXTS,
        "inputs": st.just({"a": {"type": "string"}, "list": {"type": "array", "required": True}}),
        "outputs": st.just({"a": {"type": "string"}}),
        "output": TEMPLATES,
        "schemas": st.dictionaries(
            st.just("one"), st.dictionaries(st.sampled_from(["type", "properties"]), JSON), max_size=1
        ),
        "error_handling": st.fixed_dictionaries(
            {},
            optional={
                "retry": st.integers(0, 3),
                "on_error": REFERENCES | st.sampled_from(["notify_admin", "x.y"]) | STEPS,
            },
        ),
    },
)
OUTER = {"configuration": [{"key": "KEY", "type": "secret"}, {"key": "SIZE", "type": "number"}]}


CONDITIONS = st.sampled_from(["true", "input.a == '1'", "size(input) > 0", "has(steps.n1)", "has(input.b)", "1 > 2"])
LISTS = st.sampled_from(["input.list", "[1, 2]", "[]", "input.list.map(x, x + 1)"])
VALUES = st.recursive(
    st.sampled_from(
        ["${input.a}", "${input.list[0]} y", "{{input}}", "plain", 1, True, "${has(steps.n0) ? steps.n0 : 1}"]
    ),
    lambda part: (
        st.lists(part, min_size=1, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), part, min_size=1)
    ),
    max_leaves=4,
)


@st.composite
def sound_workflows(draw: st.DrawFn) -> dict[str, Any]:
    """A workflow of which nothing is wrong but perhaps a name that comes later."""
    steps = []
    ids = draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=6, unique=True))
    for index, id in enumerate(ids):
        does = draw(st.sampled_from(["desk.look-up", "transform", "wait", "validate.schema"]))
        takes = {"transform": {"value": VALUES}, "wait": {"seconds": st.integers(0, 9)}}
        takes["validate.schema"] = {"input": VALUES, "schema": st.sampled_from(["one", "two"])}
        common = {"if": CONDITIONS, "for_each": LISTS, "on_error": st.sampled_from(["fail", "continue"])}
        common["needs"] = st.lists(st.sampled_from(ids[:index]), unique=True) if index else st.just([])
        step = draw(st.fixed_dictionaries(takes.get(does, {"a": VALUES, "input": VALUES}), optional=common))
        steps.append({"id": id, "action": does, **step})
    outer = {"output": VALUES, "error_handling": st.just({"retry": 2, "on_error": "notify_admin"})}
    words = draw(st.fixed_dictionaries({}, optional=outer))
    return {
        "steps": draw(st.permutations(steps)) if any("needs" in s for s in steps) else steps,
        "schemas": {"one": {}},
        **words,
    }


@settings(max_examples=100)
@given(WORKFLOWS | sound_workflows())
def test_a_workflow_has_findings_with_a_place_or_a_plan_that_can_be_walked(written: dict[str, Any]) -> None:
    _sound(report({"capability": {"id": "work", "version": "1.0.0", "workflow": written, **OUTER}}))


@settings(max_examples=100)
@given(flows(Words(EXPRESSIONS, EXPRESSIONS, TEMPLATES)) | flows(Words(CONDITIONS, LISTS, VALUES, sound=True)))
def test_so_has_a_flow(drawn: dict[str, Any]) -> None:
    _sound(report({"capability": {"id": "work", "version": "1.0.0", "flow": drawn, **OUTER}}))


@given(flows())
def test_any_texts_in_a_flow_are_checked(drawn: dict[str, Any]) -> None:
    _sound(report({"capability": {"id": "work", "version": "1.0.0", "flow": drawn}}))


@pytest.mark.parametrize("condition", ["", "  ", "${}", "{{ }}"])
@pytest.mark.parametrize("kind", ["branch", "filter"])
def test_a_condition_that_says_nothing_is_refused_with_its_place(kind: str, condition: str) -> None:
    input = {"input": [1]} if kind == "filter" else {}
    nodes = [{"id": "in", "type": "input"}, {"id": "odd", "type": kind, "condition": condition, **input}]
    drawn = {"nodes": [*nodes, {"id": "out", "type": "output", "value": 1}], "edges": [{"from": "in", "to": "odd"}]}
    found = report({"capability": {"id": "work", "version": "1.0.0", "flow": drawn, **OUTER}})
    assert not found.ok
    assert "capability.flow.nodes[1].condition" in {finding.path for finding in found.findings}


@given(WORKFLOWS | sound_workflows())
def test_a_patch_of_a_workflow_makes_its_finding_vanish(written: dict[str, Any]) -> None:
    source = document({"capability": {"id": "work", "version": "1.0.0", "workflow": written, **OUTER}})
    for finding in check(source).findings:
        if finding.patch:
            after = {(f.rule, f.path, f.message) for f in patched(source, finding).findings}
            assert (finding.rule, finding.path, finding.message) not in after


def _sound(found: Report) -> None:
    for finding in found.findings:
        assert finding.line >= 1
        assert finding.path.startswith("capability") or finding.rule == "leaked-secret"
    if not found.ok:
        assert any(finding.severity is Severity.ERROR for finding in found.findings)
        return
    assert found.manifest is not None
    assert found.manifest.plan is not None
    assert (
        Plan.model_validate(json.loads(found.manifest.plan.model_dump_json(exclude_defaults=True)))
        == found.manifest.plan
    )
    given = {"input": {"a": "1", "list": [1, 2]}, "trigger": {"id": "t"}, "settings": {"SIZE": 1}}
    plan = found.manifest.plan
    _walked(Walk(Program.plan(plan), given))
    if plan.on_error is not None:
        Compiled.of(
            plan.on_error,
            ("input", "trigger", "settings", "steps", "error", *(s.output for s in plan.steps if s.output)),
        )


def _walked(walk: Walk) -> None:
    for _ in range(200):
        turns = walk.due()
        if not turns:
            break
        for turn in turns:
            if turn.step.steps is not None:
                for inside in turn.inputs:
                    _walked(Walk(turn.step.steps, inside))
            walk.settle(turn.step.step.id, Settled("done", [{}] if turn.each else {}))
    assert walk.finished


@pytest.mark.parametrize(
    ("steps", "rule"), [(101, "invalid-value"), (5000, "invalid-value"), (10_000, "too-many-parts")]
)
def test_more_steps_than_a_workflow_has_are_refused_at_once(steps: int, rule: str) -> None:
    text = "capability:\n  id: x\n  workflow:\n    steps:\n" + "      - {id: a, action: b.c}\n" * steps
    try:
        findings = check(load(text.encode(), "x.yaml")).findings
    except ManifestError as error:
        findings = error.findings
    assert [finding.rule for finding in findings] == [rule]


def test_a_deep_drawing_is_refused() -> None:
    drawn: dict[str, Any] = {"nodes": []}
    for depth in range(8):
        drawn = {"nodes": [{"id": f"a{depth}", "type": "loop", "for_each": "[1]", "body": drawn}]}
    found = report({"capability": {"id": "x", "flow": drawn}})
    assert {"too-deep", "no-input", "empty-loop"} <= {finding.rule for finding in found.findings}


def test_hostile_plans_stay_within_memory_and_time() -> None:
    assert hostile("plans") == ""
