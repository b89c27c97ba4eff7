"""Rules about flows: a drawing has one way in and one out, nothing hangs in the air, and nothing goes in a circle."""

from collections.abc import Iterator
from typing import Final

from hardpoint_manifest import source as written
from hardpoint_manifest import source_flow as drawn
from hardpoint_manifest.authority import nearest
from hardpoint_manifest.finding import Finding, Path
from hardpoint_manifest.plan import MOST_STEPS
from hardpoint_manifest.planning.calls import takes_input
from hardpoint_manifest.planning.flow import Drawn, given_to
from hardpoint_manifest.planning.order import circle
from hardpoint_manifest.rules.callees import check_callee
from hardpoint_manifest.rules.names import duplicates
from hardpoint_manifest.rules.subject import Subject

MOST_INSIDE: Final = 2
"""How many loops stand inside each other."""


def check(subject: Subject) -> Iterator[Finding]:
    """Flows; nothing for other kinds."""
    if isinstance(subject.source, written.Header) or subject.source.flow is None:
        return
    whole = Drawn(subject.source.flow)
    nodes = [(node, path) for graph in whole.graphs() for node, path in graph.nodes()]
    if len(nodes) > MOST_STEPS:
        yield subject.error(
            "too-many-steps", whole.path, f"a flow has at most {MOST_STEPS} nodes; this has {len(nodes)}"
        )
    yield from duplicates(subject, "node", ((node.id, (*path, "id")) for node, path in nodes))
    yield from _ends(subject, whole)
    for graph in whole.graphs():
        yield from _graph(subject, graph)


def _ends(subject: Subject, whole: Drawn) -> Iterator[Finding]:
    for kind, noun in ((drawn.InputNode, "input"), (drawn.OutputNode, "output")):
        found = [path for node, path in whole.nodes() if isinstance(node, kind)]
        if not found:
            message = f"the flow has no {noun} node"
            yield subject.error(f"no-{noun}", (*whole.path, "nodes"), message, f"add a node of type {noun}")
        for path in found[1:]:
            yield subject.error(f"two-{noun}s", path, f"the flow has a second {noun} node", "remove one of them")


def _graph(subject: Subject, graph: Drawn) -> Iterator[Finding]:
    for index, edge in enumerate(graph.graph.edges):
        yield from _edge(subject, graph, edge, (*graph.path, "edges", index))
    before = graph.before()
    if way := circle(before):
        place = next(path for node, path in graph.nodes() if node.id == way[0])
        message = f"nodes wait for each other: {' -> '.join((*way, way[0]))}"
        yield subject.error("circle", place, message, "remove an edge; to repeat, use a loop")
    elif graph.depth == 0:
        yield from _unreachable(subject, graph)
    for node, path in graph.nodes():
        yield from _node(subject, graph, node, path)


def _edge(subject: Subject, graph: Drawn, edge: drawn.Edge, path: Path) -> Iterator[Finding]:
    nodes = {node.id: node for node in graph.graph.nodes}
    for end, id in (("from", edge.source), ("to", edge.target)):
        if id not in nodes:
            close = nearest(id, nodes)
            fix = f"did you mean {close}?" if close else "remove the edge; an edge does not lead into or out of a loop"
            yield subject.error("dangling-reference", (*path, end), f"there is no node {id} here", fix)
    begin, end_node = nodes.get(edge.source), nodes.get(edge.target)
    if isinstance(begin, drawn.BranchNode) and edge.port is None:
        message = f"{edge.source} is a branch, and the edge does not say on which way it is taken"
        yield subject.error("edge-port", path, message, "add port: then, or port: else")
    if begin is not None and not isinstance(begin, drawn.BranchNode) and edge.port is not None:
        yield subject.error(
            "edge-port", (*path, "port"), f"{edge.source} is no branch and has no port", "remove `port`"
        )
    if isinstance(begin, drawn.OutputNode):
        yield subject.error("edge-refused", path, "nothing comes after the output", "remove the edge")
    if isinstance(end_node, drawn.InputNode):
        yield subject.error("edge-refused", path, "nothing comes before the input", "remove the edge")


def _unreachable(subject: Subject, graph: Drawn) -> Iterator[Finding]:
    before = graph.before()
    reached = {node.id for node in graph.graph.nodes if isinstance(node, drawn.InputNode)}
    if not reached:
        return
    while more := {id for id, others in before.items() if id not in reached and reached.intersection(others)}:
        reached |= more
    for node, path in graph.nodes():
        if node.id not in reached:
            message = f"no way leads from the input to {node.id}"
            yield subject.error("unreachable", path, message, "draw an edge to it, or remove it")


def _node(subject: Subject, graph: Drawn, node: drawn.Node, path: Path) -> Iterator[Finding]:
    if graph.depth and isinstance(node, drawn.InputNode | drawn.OutputNode):
        message = f"a loop has no {node.type} node: it knows `item`, and gives `result`"
        yield subject.error("node-in-loop", path, message, "remove it")
        return
    if isinstance(node, drawn.CallNode):
        yield from check_callee(subject, node.action, (*path, "action"))
    if isinstance(node, drawn.LoopNode):
        if graph.depth >= MOST_INSIDE:
            message = f"at most {MOST_INSIDE} loops stand inside each other"
            yield subject.error("too-deep", path, message, "make a flow of the inner one")
        if not node.body.nodes:
            yield subject.error("empty-loop", (*path, "body"), f"nothing is in the loop {node.id}", "add a node")
    yield from _taken(subject, graph, node, path)


def _taken(subject: Subject, graph: Drawn, node: drawn.Node, path: Path) -> Iterator[Finding]:
    """A node that takes what comes before it has one node before it."""
    fields = {"loop": "for_each", "output": "value"}
    field = fields.get(node.type, "input")
    if isinstance(node, drawn.InputNode | drawn.TransformNode | drawn.BranchNode):
        return
    if isinstance(node, drawn.CallNode) and not takes_input(node.action):
        return
    if getattr(node, field) is None and given_to(graph.graph, node, "${item}") is None and not circle(graph.before()):
        message = f"several edges lead to {node.id}, and it does not say what it takes"
        yield subject.error("ambiguous-input", path, message, f"write `{field}`, such as ${{steps.<id>}}")
