"""Flows: from what is drawn to a plan, and what is found on the way."""

import json
from itertools import pairwise
from typing import Any

import pytest

from hardpoint_manifest.check import check
from hardpoint_manifest.finding import Severity
from hardpoint_manifest.plan import After, Does, Plan
from hardpoint_manifest.walk import Program, Settled, Walk
from manifest.documents import document, example, only, patched, report, rules

START = {"id": "start", "type": "input", "inputs": {"text": {"type": "string", "required": True}}}
END = {"id": "end", "type": "output"}


def flow(*nodes: dict[str, Any], edges: list[Any] | None = None, **words: Any) -> dict[str, Any]:
    """A flow of these nodes between its ends; without `edges` they stand in a line.

    An edge is `from to` or `from to port`.
    """
    all_nodes = [START, *nodes, END]
    line = [f"{a['id']} {b['id']}" for a, b in pairwise(all_nodes)]
    drawn = [
        dict(zip(("from", "to", "port"), edge.split(), strict=False)) for edge in (line if edges is None else edges)
    ]
    return {"capability": {"id": "drawn", "version": "1.0.0", "flow": {"nodes": all_nodes, "edges": drawn}, **words}}


def plan(*nodes: dict[str, Any], **words: Any) -> Plan:
    found = report(flow(*nodes, **words))
    assert found.ok, found.findings
    assert found.manifest is not None
    assert found.manifest.plan is not None
    return found.manifest.plan


def ran(plan: Plan, input: dict[str, Any], outputs: dict[str, Any] | None = None) -> Any:
    """The output of a flow whose outside steps give these outputs."""
    return _walked(Walk(Program.plan(plan), {"input": input}), outputs or {})


def _walked(walk: Walk, outputs: dict[str, Any]) -> Any:
    while due := walk.due():
        for turn in due:
            inside = turn.step.steps
            made = [
                outputs[turn.step.step.id] if inside is None else _walked(Walk(inside, one), outputs)
                for one in turn.inputs
            ]
            walk.settle(turn.step.step.id, Settled("done", made if turn.each else made[0]))
    assert walk.failure is None, walk.failure
    return walk.output()


def error(*nodes: dict[str, Any], **words: Any) -> tuple[str, str, str]:
    """The one error: its rule, path below the flow, and message."""
    found = report(flow(*nodes, **words))
    (one,) = [finding for finding in found.findings if finding.severity is Severity.ERROR]
    return one.rule, one.path.removeprefix("capability.flow."), one.message


def parse(id: str = "parse", **words: Any) -> dict[str, Any]:
    return {"id": id, "type": "parse", "format": "json", **words}


def transform(id: str, value: Any = 1, **words: Any) -> dict[str, Any]:
    return {"id": id, "type": "transform", "value": value, **words}


def test_the_customer_lookup_can_be_published():
    found = check(example("customer-lookup.yaml"))
    assert found.ok, found.findings
    manifest = found.manifest
    assert manifest is not None
    assert manifest.hosts == ("crm.example.com",)
    assert manifest.permissions == ("network.http.get",)
    (action,) = manifest.actions
    assert [one.name for one in action.inputs] == ["email"]
    assert [one.name for one in action.outputs] == ["name", "summary"]
    (inner,) = manifest.inner
    assert inner.http is not None
    assert inner.http.query == {"email": "${input.email}"}
    assert manifest.plan is not None
    assert ran(manifest.plan, {"email": "a@b.c"}, {"lookup": {"name": "Ann", "plan": "pro"}}) == {
        "name": "Ann",
        "summary": "Ann is on the pro plan",
    }


def test_process_data_works_as_it_is_drawn():
    found = check(example("process-data.yaml"))
    assert found.ok, found.findings
    manifest = found.manifest
    assert manifest is not None
    assert manifest.plan is not None
    (given,) = manifest.examples
    assert ran(manifest.plan, manifest.actions[0].with_defaults(given.input)) == given.expected_output


def test_a_line_hands_on_from_node_to_node():
    made = plan(
        parse(input="${input.text}"),
        {"id": "filter", "type": "filter", "condition": "item > 1"},
        {"id": "code", "type": "code", "language": "python", "code": "return input"},
        {"id": "call", "type": "call", "action": "desk.look-up"},
    )
    assert [(step.does, step.input) for step in made.steps] == [
        (Does.PARSE, "${input.text}"),
        (Does.FILTER, "${steps.parse}"),
        (Does.CODE, "${steps.filter}"),
        (Does.CALL, {"input": "${steps.code}"}),
    ]
    assert made.output == "${steps.call}"
    assert made.steps[0].after == ()
    assert made.steps[1].after == (After(step="parse"),)


def test_requests_and_code_are_inner_actions():
    request = {"endpoint": "https://api.example.com/${text}", "headers": {"K": "${KEY}"}, "method": "POST"}
    data = flow(
        {"id": "api", "type": "api", "integration": request},
        {"id": "code", "type": "code", "language": "javascript", "code": "return input.a;", "input": {"a": 1}},
        configuration=[{"key": "KEY", "type": "secret"}],
    )
    found = report(data)
    assert found.ok, found.findings
    manifest = found.manifest
    assert manifest is not None
    api, code = manifest.inner
    assert api.http is not None
    assert (api.id, api.effect, [one.name for one in api.inputs]) == ("api", "write", ["text"])
    assert code.code is not None
    assert (code.code.language, code.code.body, [one.name for one in code.inputs]) == (
        "javascript",
        "return input.a;",
        ["a"],
    )
    assert [action.id for action in manifest.actions] == ["run"]
    assert manifest.permissions == ("network.http.post",)
    assert manifest.hosts == ("api.example.com",)
    missing = {"capability": {**data["capability"], "permissions": []}}
    assert only(report(missing).findings, "missing-permission").message == "api needs network.http.post"
    assert patched(document(missing), only(report(missing).findings, "missing-permission")).ok


def test_what_stands_in_a_request_is_checked_as_everywhere():
    request = {"endpoint": "https://api.example.com/", "params": {"q": "${input.txt}"}, "headers": {"Host": "x"}}
    found = report(flow({"id": "api", "type": "api", "integration": request}))
    undeclared = only(found.findings, "undeclared-name")
    assert undeclared.path == "capability.flow.nodes[1].integration.params.q"
    assert undeclared.fix == "did you mean input.text?"
    assert only(found.findings, "header-refused").path == "capability.flow.nodes[1].integration.headers.Host"


def test_a_branch_goes_one_way_and_meets_again():
    made = plan(
        {"id": "long", "type": "branch", "condition": "${size(input.text) > 3}"},
        transform("many", "long ${input.text}"),
        transform("few", "short ${input.text}"),
        transform("both", {"text": "${has(steps.many) ? steps.many : steps.few}"}),
        edges=["start long", "long many then", "long few else", "many both", "few both", "both end"],
    )
    assert ran(made, {"text": "hello"}) == {"text": "long hello"}
    assert ran(made, {"text": "hi"}) == {"text": "short hi"}


def test_a_loop_does_what_stands_in_it_for_every_item():
    body = {
        "nodes": [transform("first", "${item}!"), transform("second", {"at": "${index}", "is": "${steps.first}"})],
        "edges": [{"from": "first", "to": "second"}],
    }
    made = plan(parse(input="${input.text}"), {"id": "each", "type": "loop", "body": body})
    (_, loop) = made.steps
    assert (loop.does, loop.for_each, [step.id for step in loop.steps]) == (
        Does.STEPS,
        "steps.parse",
        ["first", "second"],
    )
    assert ran(made, {"text": '["a", "b"]'}) == [{"at": 0, "is": "a!"}, {"at": 1, "is": "b!"}]
    made = plan(parse(input="${input.text}"), {"id": "each", "type": "loop", "body": body, "result": "${steps.first}"})
    assert ran(made, {"text": '["a"]'}) == ["a!"]


def test_positions_stand_in_the_document_and_not_in_the_plan():
    placed = transform("a", position={"x": 1.5, "y": -2})
    assert plan(placed) == plan(transform("a"))


LOOP: dict[str, Any] = {"id": "loop", "type": "loop", "for_each": "[1]", "body": {"nodes": [transform("in")]}}
ERRORS: dict[str, tuple[tuple[dict[str, Any], ...], list[str] | None, tuple[str, str, str]]] = {
    "a circle": (
        (transform("a"), transform("b")),
        ["start a", "a b", "b a", "b end"],
        ("circle", "nodes[1]", "nodes wait for each other: a -> b -> a"),
    ),
    "an unreachable node": (
        (transform("a"), transform("b")),
        ["start a", "a end"],
        ("unreachable", "nodes[2]", "no way leads from the input to b"),
    ),
    "a dangling edge": (
        (transform("a"),),
        ["start a", "a end", "a ennd"],
        ("dangling-reference", "edges[2].to", "there is no node ennd here"),
    ),
    "an edge into a loop": (
        (LOOP,),
        ["start loop", "loop end", "start in"],
        ("dangling-reference", "edges[2].to", "there is no node in here"),
    ),
    "two inputs": (
        ({"id": "more", "type": "input"},),
        ["start end"],
        ("two-inputs", "nodes[1]", "the flow has a second input node"),
    ),
    "two outputs": (
        ({"id": "more", "type": "output"},),
        ["start end", "start more"],
        ("two-outputs", "nodes[2]", "the flow has a second output node"),
    ),
    "the same id twice": (
        (transform("a"), {**LOOP, "body": {"nodes": [transform("a")]}}),
        None,
        ("duplicate-id", "nodes[2].body.nodes[0].id", "the node a is given twice; the first is in line 18"),
    ),
    "a port of no branch": (
        (transform("a"),),
        ["start a", "a end then"],
        ("edge-port", "edges[1].port", "a is no branch and has no port"),
    ),
    "a branch without a way": (
        ({"id": "a", "type": "branch", "condition": "true"},),
        ["start a", "a end"],
        ("edge-port", "edges[1]", "a is a branch, and the edge does not say on which way it is taken"),
    ),
    "after the end": (
        (transform("a"),),
        ["start end", "end a"],
        ("edge-refused", "edges[1]", "nothing comes after the output"),
    ),
    "two ways into a node that does not choose": (
        (transform("a"), transform("b"), parse()),
        ["start a", "start b", "a parse", "b parse", "parse end"],
        ("ambiguous-input", "nodes[3]", "several edges lead to parse, and it does not say what it takes"),
    ),
    "an input in a loop": (
        ({**LOOP, "body": {"nodes": [{"id": "in", "type": "input"}]}},),
        None,
        ("node-in-loop", "nodes[1].body.nodes[0]", "a loop has no input node: it knows `item`, and gives `result`"),
    ),
    "an empty loop": (
        ({**LOOP, "body": {"nodes": []}},),
        None,
        ("empty-loop", "nodes[1].body", "nothing is in the loop loop"),
    ),
    "loops in loops in loops": (
        ({**LOOP, "body": {"nodes": [{**LOOP, "id": "b", "body": {"nodes": [{**LOOP, "id": "c"}]}}]}},),
        None,
        ("too-deep", "nodes[1].body.nodes[0].body.nodes[0]", "at most 2 loops stand inside each other"),
    ),
    "an unknown action": (
        ({"id": "a", "type": "call", "action": "email.snd"},),
        None,
        (
            "unknown-action",
            "nodes[1].action",
            "email has no action snd; it has email.attachments, email.list, email.read, email.send",
        ),
    ),
    "a wrong type": (
        (transform("a"), parse()),
        None,
        ("expression-type", "nodes[2]", "what is parsed is integer, where string is wanted"),
    ),
    "a request that is given a list": (
        (transform("a", [1]), {"id": "b", "type": "api", "integration": {"endpoint": "https://api.example.com"}}),
        None,
        ("expression-type", "nodes[2]", "what a request is given is array, where object is wanted"),
    ),
    "a name from elsewhere": (
        (transform("a", "${steps.b}"), transform("b")),
        None,
        (
            "undeclared-name",
            "nodes[1].value",
            "steps.b is not there yet at character 1 of the expression: b does not come before a",
        ),
    ),
    "the trigger of a workflow": (
        (transform("a", "${trigger.file}"),),
        None,
        ("undeclared-name", "nodes[1].value", "trigger is not declared at character 1 of the expression"),
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_stand_at_the_node(case: str):
    nodes, edges, wanted = ERRORS[case]
    assert error(*nodes, edges=edges) == wanted


def test_a_flow_without_ends():
    found = report({"capability": {"id": "x", "version": "1.0.0", "flow": {"nodes": [transform("a")]}}})
    assert {"no-input", "no-output"} <= rules(found.findings)
    assert not found.ok


def test_a_node_of_no_type_is_explained():
    found = report(flow({"id": "a", "type": "fliter"}, {"id": "b"}))
    wrong, none = sorted(found.findings, key=lambda finding: finding.line)
    assert (wrong.path, wrong.fix) == ("capability.flow.nodes[1].type", "did you mean filter?")
    assert (none.path, none.message[:20]) == ("capability.flow.nodes[2]", "the node has no type")
    unknown = only(report(flow(parse(formt=1))).findings, "unknown-key")
    assert (unknown.path, unknown.fix) == ("capability.flow.nodes[1].formt", "did you mean format?")


def test_the_output_is_checked():
    data = json.loads(json.dumps(flow(transform("a", {"n": "${input.text}"}))))
    data["capability"]["flow"]["nodes"][-1]["outputs"] = {"n": {"type": "number"}}
    finding = only(report(data).findings, "step-output")
    assert finding.message == "what is given is string, and `n` of the output of drawn wants number"


def test_a_value_that_only_one_way_gives_is_warned_about():
    data = flow(
        {"id": "long", "type": "branch", "condition": "size(input.text) > 3"},
        transform("many"),
        edges=["start long", "long many then", "many end", "long end else"],
    )
    data["capability"]["flow"]["nodes"][-1] = {**END, "value": "${steps.many}"}
    assert only(report(data).findings, "may-be-absent").path == "capability.flow.nodes[3].value"


def test_both_ways_of_a_branch_are_sure_to_meet():
    made = flow(
        {"id": "long", "type": "branch", "condition": "size(input.text) > 3"},
        transform("many"),
        transform("few"),
        transform("both"),
        transform("last", "${steps.both}"),
        edges=["start long", "long many then", "long few else", "many both", "few both", "both last", "last end"],
    )
    assert "may-be-absent" not in rules(report(made).findings)


def test_an_action_that_takes_no_input_is_given_none():
    made = plan({"id": "a", "type": "call", "action": "files.list"})
    assert made.steps[0].input == {}
