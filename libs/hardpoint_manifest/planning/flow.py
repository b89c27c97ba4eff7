"""Flows as plans: what is drawn, node by node, in an order in which each comes after those before it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from hardpoint_manifest import source as written
from hardpoint_manifest import source_flow as drawn
from hardpoint_manifest.finding import Path
from hardpoint_manifest.model import Action, Code, HttpCall, Parameter
from hardpoint_manifest.names import CEL_WORDS
from hardpoint_manifest.plan import ACTION, After, Does, Plan, Step
from hardpoint_manifest.planning import Planned
from hardpoint_manifest.planning import calls as calling
from hardpoint_manifest.planning.order import Before, in_order

FLOW: Final[Path] = ("capability", "flow")
Parameters = Callable[[Any], tuple[Parameter, ...]]
Request = Callable[[written.Integration], HttpCall]
Effect = Literal["read", "write"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A graph with the path at which it stands, and how deep in loops."""

    graph: drawn.Graph
    path: Path = FLOW
    depth: int = 0

    def nodes(self) -> Iterator[tuple[drawn.Node, Path]]:
        """The nodes with their places, without those inside loops."""
        for index, node in enumerate(self.graph.nodes):
            yield node, (*self.path, "nodes", index)

    def graphs(self) -> Iterator["Drawn"]:
        """This graph, and those of the loops in it."""
        yield self
        for node, path in self.nodes():
            if isinstance(node, drawn.LoopNode):
                yield from Drawn(node.body, (*path, "body"), self.depth + 1).graphs()

    def before(self) -> dict[str, list[str]]:
        """By node, those from which an edge leads to it; of edges whose ends are there."""
        found: dict[str, list[str]] = {node.id: [] for node in self.graph.nodes}
        for edge in self.graph.edges:
            if edge.source in found and edge.target in found:
                found[edge.target].append(edge.source)
        return found


def planned(
    capability: written.Capability, flow: written.Flow, parameters: Parameters, request: Request, of_code: Effect
) -> Planned:
    """What a flow comes to; `parameters` and `request` read what nodes have in common with declarative capabilities.

    `of_code` is what its code nodes do outside.
    """
    begin = next((node for node in flow.nodes if isinstance(node, drawn.InputNode)), None)
    end = next((node for node in flow.nodes if isinstance(node, drawn.OutputNode)), None)
    inputs = parameters(begin.inputs) if begin is not None else ()
    whole = Drawn(flow)
    read = _Reader(parameters, request, of_code, inputs)
    actions = tuple(action for graph in whole.graphs() for action in read.actions(graph))
    plan = None
    if begin is not None and end is not None and _sound(whole):
        taken = _Taken(flow, "${input}")
        output = taken.of(end) if end.value is None else end.value
        plan = Plan(steps=_steps(flow, taken), optional=calling.optional(inputs), output=output)
    reads = all(action.effect == "read" for action in actions)
    action = Action(
        id=ACTION,
        name=capability.name or capability.id,
        description=capability.description,
        inputs=inputs,
        outputs=parameters(end.outputs) if end is not None else (),
        effect=calling.effect(plan.steps if plan is not None else ()) if reads else "write",
    )
    return Planned((action,), plan, actions, calling.called(plan))


def given_to(graph: drawn.Graph, node: drawn.Node, first: str) -> str | None:
    """What a node that writes no input takes, as a template; None where several edges lead to it.

    `first` is what those take that no edge leads to.
    """
    return _Taken(graph, first).of(node)


def reference(step: str) -> str:
    """The expression of a step's output."""
    return f"steps.{step}" if step.isidentifier() and step not in CEL_WORDS else f'steps["{step}"]'


class _Taken:
    """What the nodes of a graph take from those before them."""

    def __init__(self, graph: drawn.Graph, first: str) -> None:
        self._nodes = {node.id: node for node in graph.nodes}
        self._before = Drawn(graph).before()
        self._first = first

    def of(self, node: drawn.Node) -> str | None:
        seen: set[str] = set()
        while node.id not in seen:
            seen.add(node.id)
            sources = set(self._before[node.id])
            if not sources:
                return self._first
            if len(sources) > 1:
                return None
            node = self._nodes[sources.pop()]
            if isinstance(node, drawn.InputNode):
                return "${input}"
            if not isinstance(node, drawn.BranchNode):  # a branch hands on what it was given
                return f"${{{reference(node.id)}}}"
        return None


def _sound(whole: Drawn) -> bool:
    """Whether there is a plan at all: ids that tell nodes apart, and no circle."""
    ids = [node.id for graph in whole.graphs() for node in graph.graph.nodes]
    return len(set(ids)) == len(ids) and all(in_order(graph.before()) is not None for graph in whole.graphs())


def _steps(graph: drawn.Graph, taken: _Taken) -> tuple[Step, ...]:
    nodes = {node.id: node for node in graph.nodes}
    outside = {node.id for node in graph.nodes if isinstance(node, drawn.InputNode | drawn.OutputNode)}
    before: Before = Drawn(graph).before()
    after: dict[str, list[After]] = {id: [] for id in nodes}
    for edge in graph.edges:
        if edge.target in nodes and edge.source in nodes and edge.source not in outside:
            one = After(step=edge.source, port=edge.port or "done")
            if one not in after[edge.target]:
                after[edge.target].append(one)
    order = [id for id in in_order(before) or () if id not in outside]
    return tuple(_step(nodes[id], taken, tuple(after[id])) for id in order)


def _step(node: drawn.Node, taken: _Taken, after: tuple[After, ...]) -> Step:
    default = taken.of(node)
    words: dict[str, Any] = {"id": node.id, "name": node.name, "after": after}
    if isinstance(node, drawn.Doing):
        words |= {"timeout_seconds": node.timeout, "on_error": node.on_error, "retry": calling.retry(node.retry)}
    given = default if getattr(node, "input", None) is None else getattr(node, "input", None)
    match node:
        case drawn.ApiNode():
            return Step(does=Does.HTTP, action=node.id, input=given, **words)
        case drawn.CodeNode():
            return Step(does=Does.CODE, action=node.id, input=given, **words)
        case drawn.CallNode():
            handed_on = {} if node.input is None and not calling.takes_input(node.action) else {"input": given}
            whole = given if isinstance(given, dict) else handed_on
            return Step(does=Does.CALL, action=node.action, input=whole, **words)
        case drawn.ParseNode():
            return Step(does=Does.PARSE, format=node.format, input=given, **words)
        case drawn.FilterNode():
            return Step(does=Does.FILTER, condition=calling.expression(node.condition), input=given, **words)
        case drawn.TransformNode():
            words |= {"for_each": calling.expression(node.for_each), "most": node.max_items}
            return Step(does=Does.VALUE, input=node.value, **words)
        case drawn.BranchNode():
            return Step(does=Does.BRANCH, condition=calling.expression(node.condition), **words)
        case drawn.LoopNode():
            words |= {"for_each": calling.expression(node.for_each or default), "most": node.max_items}
            steps = _steps(node.body, _Taken(node.body, "${item}"))
            return Step(does=Does.STEPS, steps=steps, result=node.result, **words)
    raise AssertionError(f"{node.type} is no step")


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads inner actions; one that takes what the flow was given knows its inputs."""

    parameters: Parameters
    request: Request
    of_code: Effect
    inputs: tuple[Parameter, ...]

    def actions(self, graph: Drawn) -> Iterator[Action]:
        taken = _Taken(graph.graph, "${item}" if graph.depth else "${input}")
        for node in graph.graph.nodes:
            if isinstance(node, drawn.ApiNode | drawn.CodeNode):
                yield self._action(node, node.input if node.input is not None else taken.of(node))

    def _action(self, node: drawn.ApiNode | drawn.CodeNode, given: Any) -> Action:
        inputs = self.inputs if given == "${input}" else ()
        if isinstance(given, dict) and all(_is_name(name) for name in given):
            inputs = tuple(Parameter(name=name) for name in given)
        words: dict[str, Any] = {"id": node.id, "name": node.name or node.id, "inputs": inputs}
        words["outputs"] = self.parameters(node.outputs)
        if isinstance(node, drawn.CodeNode):
            return Action(code=Code(language=node.language, body=node.code), effect=self.of_code, **words)
        call = self.request(node.integration)
        return Action(http=call, effect="read" if call.method in {"GET", "HEAD"} else "write", **words)


def _is_name(name: str) -> bool:
    try:
        Parameter(name=name)
    except ValueError:
        return False
    return True
