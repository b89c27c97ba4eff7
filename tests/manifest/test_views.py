"""Canvas, outline and YAML: three views of one flow."""

from typing import Any

import pytest
from hypothesis import given, settings

from hardpoint_manifest.load.yaml import scan
from hardpoint_manifest.source_flow import Flow
from hardpoint_manifest.views import (
    ViewError,
    document,
    from_canvas,
    from_outline,
    to_canvas,
    to_outline,
    to_yaml,
)
from manifest.documents import example, raised
from manifest.flows import flows

OUTLINE = """\
input input "Input" @ 0,0
  inputs: {"email": {"type": "string", "required": true, "description": "The customer's email address"}}
api lookup "API" after input @ 240,0
  integration: {"headers": {"Authorization": "Bearer ${CRM_KEY}"}, "params": {"email": "${input.email}"}, \
"response_mapping": {"name": "data.customer.name", "plan": "data.customer.plan"}, \
"endpoint": "https://crm.example.com/v1/customers"}
  outputs: {"name": {"type": "string", "required": true}, "plan": {"type": "string", "required": true}}
transform format "Format" after lookup @ 480,0
  value: {"name": "${steps.lookup.name}", "summary": "${steps.lookup.name} is on the ${steps.lookup.plan} plan"}
output output "Output" after format @ 720,0
  outputs: {"name": {"type": "string", "required": true}, "summary": {"type": "string", "required": true}}
"""


@settings(max_examples=500)
@given(flows())
def test_no_view_loses_anything(drawn: dict[str, Any]) -> None:
    canvas = to_canvas(Flow.model_validate(drawn))
    assert to_canvas(from_canvas(canvas)) == canvas
    assert to_canvas(Flow.model_validate(scan(to_yaml(from_canvas(canvas))).data)) == canvas
    assert to_canvas(from_outline(to_outline(from_canvas(canvas)))) == canvas
    assert len(canvas["edges"]) == sum(1 for _ in _edges(drawn))


def _edges(graph: dict[str, Any]) -> Any:
    yield from graph["edges"]
    for node in graph["nodes"]:
        if "body" in node:
            yield from _edges(node["body"])


def lookup() -> Flow:
    return Flow.model_validate(example("customer-lookup.yaml").data["capability"]["flow"])


def test_the_outline_of_the_customer_lookup() -> None:
    assert to_outline(lookup()) == OUTLINE
    assert document(from_outline(OUTLINE)) == document(lookup())


def test_the_canvas_of_a_loop_is_flat() -> None:
    body = {
        "nodes": [{"id": "in", "type": "transform", "value": 1}, {"id": "b", "type": "branch", "condition": "true"}]
    }
    body["edges"] = [{"from": "b", "to": "in", "port": "then"}]
    canvas = to_canvas(Flow.model_validate({"nodes": [{"id": "loop", "type": "loop", "body": body}]}))
    assert canvas == {
        "nodes": [
            {"id": "loop", "type": "loop"},
            {"id": "in", "type": "transform", "value": 1, "parent": "loop"},
            {"id": "b", "type": "branch", "condition": "true", "parent": "loop"},
        ],
        "edges": [{"from": "b", "to": "in", "port": "then", "parent": "loop"}],
    }


def test_code_is_read_as_it_is_written() -> None:
    code = "if input:\n    return 1\n\nreturn 2\n"
    flow = Flow.model_validate({"nodes": [{"id": "a", "type": "code", "language": "python", "code": code}]})
    outline = to_outline(flow)
    assert outline == (
        'code a\n  language: "python"\n  code: |\n    if input:\n        return 1\n    \n    return 2\n    \n'
    )
    assert "code: |\n" in to_yaml(flow)
    without_spaces = "\n".join(line.rstrip() for line in outline.split("\n"))
    assert document(from_outline(without_spaces))["nodes"][0]["code"] == code.rstrip("\n")


@pytest.mark.parametrize(
    ("outline", "line", "words"),
    [
        ("transform\n", 1, "a node is written as"),
        ("transform a\n  value: {\n", 2, "'{' is no value"),
        ("transform a\n      value: 1\n", 2, "indented too far"),
        ("transform a @ x,1\n  value: 1\n", 1, "'x' is no value"),
        ("parse a\n", 1, "nodes.0.format: Field required"),
        ("x" * 2_000_000, 1, "at most"),
        ("loop a\n" + "".join("  " * depth + f"loop a{depth}\n" for depth in range(1, 40)), 18, "too many loops"),
    ],
)
def test_what_is_no_outline_is_refused_with_its_line(outline: str, line: int, words: str) -> None:
    error = raised(ViewError, from_outline, outline)
    assert error is not None
    assert (error.line, words in str(error)) == (line, True), str(error)


@pytest.mark.parametrize(
    "canvas",
    [
        {},
        {"nodes": [{}], "edges": []},
        {"nodes": [{"id": "a", "type": "transform", "value": 1, "parent": "gone"}], "edges": []},
        {"nodes": [], "edges": [{"from": "a", "to": "b", "parent": "gone"}]},
        {"nodes": 3, "edges": []},
        {"nodes": [{"id": "a", "type": "loop", "parent": "a"}], "edges": []},
    ],
)
def test_what_is_no_canvas_is_refused(canvas: dict[str, Any]) -> None:
    assert raised(ViewError, from_canvas, canvas) is not None


def test_ids_that_do_not_tell_nodes_apart_are_refused() -> None:
    twice = {"id": "a", "type": "transform", "value": 1}
    assert raised(ViewError, to_canvas, Flow.model_validate({"nodes": [twice, twice]})) is not None
