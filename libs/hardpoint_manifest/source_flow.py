"""What is drawn in flows: nodes of a few types, and the edges between them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from hardpoint_manifest.names import ActionId
from hardpoint_manifest.plan import MOST_ITEMS, MOST_STEPS
from hardpoint_manifest.source_parts import Integration, Label, Parameters, Source, Text
from hardpoint_manifest.source_workflow import Retries, Seconds

MOST_EDGES = 400
MOST_CODE = 64 * 1024


class Position(Source):
    """Where a node stands on the canvas; it means nothing else."""

    x: Annotated[float, Field(allow_inf_nan=False)]
    y: Annotated[float, Field(allow_inf_nan=False)]


class AnyNode(Source):
    """What every node has. Without an `input` a node takes what the node before it gives."""

    id: ActionId
    name: Text = ""
    position: Position | None = None


class InputNode(AnyNode):
    """Where the flow begins: what it is given."""

    type: Literal["input"]
    inputs: Parameters = []


class Doing(AnyNode):
    """A node that reaches outside, and may fail there."""

    timeout: Seconds | None = None
    retry: Retries | None = None
    on_error: Literal["fail", "continue"] = "fail"


class ApiNode(Doing):
    """A request, as an action of a declarative capability makes it; `${input.x}` in it is what the node is given."""

    type: Literal["api"]
    integration: Integration
    input: Any = None
    outputs: Parameters = []


class CallNode(Doing):
    """An action of another capability."""

    type: Literal["call"]
    action: Label
    input: Any = None


class CodeNode(Doing):
    """The body of `async def run(self, input)` in Python, or of `async run(input)` in JavaScript."""

    type: Literal["code"]
    language: Literal["python", "javascript"]
    code: Annotated[str, Field(min_length=1, max_length=MOST_CODE)]
    input: Any = None
    outputs: Parameters = []


class ParseNode(AnyNode):
    """A text, read."""

    type: Literal["parse"]
    format: Literal["json", "csv", "lines"]
    input: Any = None


class FilterNode(AnyNode):
    """Those items of a list for which the condition holds; it knows each as `item`."""

    type: Literal["filter"]
    condition: Text
    input: Any = None


class TransformNode(AnyNode):
    """A value made of others; with `for_each` one for each item of a list."""

    type: Literal["transform"]
    value: Any
    for_each: Text | None = None
    max_items: Annotated[int, Field(ge=1, le=MOST_ITEMS)] = 100


class BranchNode(AnyNode):
    """A condition that decides between the edges at its ports `then` and `else`."""

    type: Literal["branch"]
    condition: Text


class LoopNode(AnyNode):
    """Nodes of its own, once for each item of a list; they know `item` and `index`. It gives the list of `result`."""

    type: Literal["loop"]
    for_each: Text | None = None
    max_items: Annotated[int, Field(ge=1, le=MOST_ITEMS)] = 100
    body: "Graph"
    result: Any = None


class OutputNode(AnyNode):
    """Where the flow ends: what it gives."""

    type: Literal["output"]
    outputs: Parameters = []
    value: Any = None


def _type(value: object) -> str:
    kind = value.get("type") if isinstance(value, Mapping) else getattr(value, "type", None)
    return f"<{kind}>"


Node = Annotated[
    Annotated[InputNode, Tag("<input>")]
    | Annotated[ApiNode, Tag("<api>")]
    | Annotated[CallNode, Tag("<call>")]
    | Annotated[CodeNode, Tag("<code>")]
    | Annotated[ParseNode, Tag("<parse>")]
    | Annotated[FilterNode, Tag("<filter>")]
    | Annotated[TransformNode, Tag("<transform>")]
    | Annotated[BranchNode, Tag("<branch>")]
    | Annotated[LoopNode, Tag("<loop>")]
    | Annotated[OutputNode, Tag("<output>")],
    Discriminator(_type),
]


class Edge(Source):
    """What comes after what; an edge from a branch says at which of its ports it begins."""

    source: Annotated[ActionId, Field(alias="from")]
    target: Annotated[ActionId, Field(alias="to")]
    port: Literal["then", "else"] | None = None


class Graph(Source):
    """Nodes and the edges between them."""

    nodes: Annotated[list[Node], Field(max_length=MOST_STEPS)]
    edges: Annotated[list[Edge], Field(max_length=MOST_EDGES)] = []


class Flow(Graph):
    """A drawing: from its input node to its output node.

    With `isolation: run` the calls of one run may share a jail, one after the other.
    """

    isolation: Literal["run"] | None = None
