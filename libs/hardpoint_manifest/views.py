"""Three views of a drawing: a canvas, an outline to read and to write by keyboard, and YAML. None loses anything.

A canvas is flat, as it is drawn: every node of it, those inside a loop with its id as `parent`, and every edge. Edges
have no order: a canvas lists them by the node that they lead to.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import yaml
from pydantic import ValidationError

from hardpoint_manifest.load.tree import MAX_BYTES
from hardpoint_manifest.source_flow import Flow

Canvas = dict[str, Any]
_STEP: Final = "  "
_HEAD: Final = re.compile(
    r"(?P<type>\w+) (?P<id>[\w-]+)(?P<name> \"(?:[^\"\\]|\\.)*\")?(?: after (?P<after>[\w:, -]+?))?(?: @ (?P<at>\S+))?"
)
_EDGE: Final = re.compile(r"edge (?P<from>[\w-]+) -> (?P<to>[\w-]+)(?: (?P<port>then|else))?")
_FIELD: Final = re.compile(r"(?P<key>\w+): (?P<value>.*)", re.DOTALL)
_HEAD_KEYS: Final = frozenset({"id", "type", "name", "position", "body"})
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")


class ViewError(ValueError):
    """A text is no view of a flow; `line` counts from 1."""

    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


def document(flow: Flow) -> dict[str, Any]:
    """A flow as its author's document has it, without what is written and says nothing."""
    return _without_nothing(flow.model_dump(mode="json", by_alias=True, exclude_unset=True))


def to_canvas(flow: Flow) -> Canvas:
    """A flow as it is drawn; raises ViewError when an id does not tell nodes apart."""
    nodes: list[dict[str, Any]] = []
    edges: list[dict[str, Any]] = []
    _flatten(document(flow), None, nodes, edges)
    ids = [node["id"] for node in nodes]
    if len(set(ids)) < len(ids):
        raise ViewError(f"{next(id for id in ids if ids.count(id) > 1)} is given twice")
    return {"nodes": nodes, "edges": edges}


def from_canvas(canvas: Mapping[str, Any]) -> Flow:
    """The flow that is drawn; raises ViewError for what is none."""
    try:
        nodes = [dict(node) for node in canvas["nodes"]]
        edges = [dict(edge) for edge in canvas["edges"]]
        whole = _unflatten(None, nodes, edges, 0)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ViewError(f"this is no canvas: {error}"[:200]) from None
    if nodes or edges:
        raise ViewError(f"nothing holds {(nodes or edges)[0]}"[:200])
    return _flow(whole)


def to_yaml(flow: Flow) -> str:
    """A flow as YAML, as it stands below `flow:`."""
    return yaml.dump(document(flow), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**9)


def to_outline(flow: Flow) -> str:
    """A flow as indented lines, node after node: what it is, what it comes after, where it stands, what it says."""
    return "".join(f"{line}\n" for line in _outline(document(flow), ""))


def from_outline(text: str) -> Flow:
    """The flow that an outline says; raises ViewError."""
    if len(text) > MAX_BYTES:
        raise ViewError(f"an outline has at most {MAX_BYTES:,} characters")
    reader = _Reader(text.split("\n"))
    graph = reader.graph(0)
    if reader.at < len(reader.lines):
        raise ViewError("this line is indented too far", reader.at + 1)
    return _flow(graph)


def _without_nothing(graph: dict[str, Any]) -> dict[str, Any]:
    said = {"nodes": [], **graph}
    said["nodes"] = [
        {
            key: _without_nothing(value) if key == "body" else value
            for key, value in node.items()
            if key != "position" or value is not None
        }
        for node in said["nodes"]
    ]
    edges = [{key: value for key, value in edge.items() if value is not None} for edge in said.pop("edges", ())]
    return {**said, **({"edges": edges} if edges else {})}


def _flow(data: Any) -> Flow:
    try:
        return Flow.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if not str(part).startswith("<"))
        raise ViewError(f"{place}: {first['msg']}"[:300]) from None


def _flatten(
    graph: dict[str, Any], parent: str | None, nodes: list[dict[str, Any]], edges: list[dict[str, Any]]
) -> None:
    inside = {} if parent is None else {"parent": parent}
    for node in graph["nodes"]:
        nodes.append({**{key: value for key, value in node.items() if key != "body"}, **inside})
        if "body" in node:
            _flatten(node["body"], node["id"], nodes, edges)
    edges += [{**edge, **inside} for edge in _sorted(graph)]


def _unflatten(
    parent: str | None, nodes: list[dict[str, Any]], edges: list[dict[str, Any]], depth: int
) -> dict[str, Any]:
    """The graph of the nodes with this parent, which are taken out of the lists."""
    mine = [node for node in nodes if node.get("parent") == parent]
    drawn = [edge for edge in edges if edge.get("parent") == parent]
    nodes[:] = [node for node in nodes if node.get("parent") != parent]
    edges[:] = [edge for edge in edges if edge.get("parent") != parent]
    graph: dict[str, Any] = {"nodes": []}
    for node in mine:
        own = {key: value for key, value in node.items() if key != "parent"}
        if node["type"] == "loop":
            own["body"] = _unflatten(node["id"], nodes, edges, depth + 1)
        graph["nodes"].append(own)
    if drawn:
        graph["edges"] = [{key: value for key, value in edge.items() if key != "parent"} for edge in drawn]
    return graph


def _sorted(graph: dict[str, Any]) -> list[dict[str, Any]]:
    """The edges by the node that they lead to, those to none last."""
    place = {node["id"]: index for index, node in enumerate(graph["nodes"])}
    return sorted(graph.get("edges", ()), key=lambda edge: place.get(edge["to"], len(place)))


def _outline(graph: dict[str, Any], indent: str) -> Iterator[str]:
    told: set[str] = set()
    nodes = {node["id"] for node in graph["nodes"]}
    edges = graph.get("edges", ())
    for node in graph["nodes"]:
        after = [edge for edge in edges if edge["to"] == node["id"]] if node["id"] not in told else []
        told.add(node["id"])
        yield indent + _head(node, after)
        for key, value in node.items():
            if key not in _HEAD_KEYS:
                yield from _field(key, value, indent + _STEP)
        if "body" in node:
            yield from _outline(node["body"], indent + _STEP)
    for edge in edges:
        if edge["to"] not in nodes:
            yield f"{indent}edge {edge['from']} -> {edge['to']}{' ' + edge['port'] if edge.get('port') else ''}"


def _head(node: dict[str, Any], after: Iterable[dict[str, Any]]) -> str:
    words = [node["type"], node["id"]]
    if "name" in node:
        words.append(_json(node["name"]))
    if before := ", ".join(edge["from"] + (f":{edge['port']}" if edge.get("port") else "") for edge in after):
        words += ["after", before]
    if node.get("position") is not None:
        words += ["@", ",".join(_number(node["position"][axis]) for axis in "xy")]
    return " ".join(words)


def _field(key: str, value: Any, indent: str) -> Iterator[str]:
    """What a node says: JSON in one line, and a text of several lines as it is."""
    if isinstance(value, str) and "\n" in value:
        yield f"{indent}{key}: |"
        yield from (f"{indent}{_STEP}{line}" for line in value.split("\n"))
    else:
        yield f"{indent}{key}: {_json(value)}"


def _number(number: float) -> str:
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


class _Reader:
    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.at = 0

    def graph(self, depth: int) -> dict[str, Any]:
        """The nodes at this depth, until a line stands further out."""
        if depth > 16:
            raise ViewError("too many loops stand inside each other", self.at + 1)
        indent, nodes, edges = _STEP * depth, list[dict[str, Any]](), list[dict[str, Any]]()
        while self._here(indent) is not None:
            line = self.lines[self.at][len(indent) :]
            self.at += 1
            if match := _EDGE.fullmatch(line):
                edges.append({key: value for key, value in match.groupdict().items() if value})
            else:
                nodes.append(self._node(line, depth, edges))
        return {"nodes": nodes, **({"edges": edges} if edges else {})}

    def _here(self, indent: str) -> str | None:
        """The next line, when it stands at this indent; lines without words say nothing."""
        while self.at < len(self.lines) and not self.lines[self.at].strip():
            self.at += 1
        line = self.lines[self.at] if self.at < len(self.lines) else ""
        return line if line.startswith(indent) and not line[len(indent) :].startswith(" ") and line else None

    def _node(self, line: str, depth: int, edges: list[dict[str, Any]]) -> dict[str, Any]:
        match = _HEAD.fullmatch(line)
        if match is None:
            raise ViewError("a node is written as: type id, then `after` others, then @ x,y", self.at)
        node: dict[str, Any] = {"id": match["id"], "type": match["type"]}
        if match["name"]:
            node["name"] = self._value(match["name"])
        for before in match["after"].split(", ") if match["after"] else ():
            source, _, port = before.partition(":")
            edges.append({"from": source, "to": match["id"], **({"port": port} if port else {})})
        if match["at"]:
            x, _, y = match["at"].partition(",")
            node["position"] = {"x": self._value(x), "y": self._value(y)}
        indent = _STEP * (depth + 1)
        while (said := self._here(indent)) and (field := _FIELD.fullmatch(said[len(indent) :])):
            self.at += 1
            key, value = field["key"], field["value"]
            node[key] = self._text(indent + _STEP) if value == "|" else self._value(value)
        if match["type"] == "loop":
            node["body"] = self.graph(depth + 1)
        return node

    def _text(self, indent: str) -> str:
        """A text of several lines; editors may have taken the spaces of those without words."""
        first = end = self.at
        while end < len(self.lines) and (self.lines[end].startswith(indent) or not self.lines[end].strip()):
            end += 1
            if self.lines[end - 1].startswith(indent):
                self.at = end
        return "\n".join(line[len(indent) :] for line in self.lines[first : self.at])

    def _value(self, text: str) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise ViewError(f"{text.strip()[:64]!r} is no value", self.at) from None


class _Dumper(yaml.SafeDumper):
    """Writes what our reader reads: every text in quotes that might be something else."""

    def ignore_aliases(self, _: Any) -> bool:
        """Whether to write a value out where it occurs again: always."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = _PLAIN.fullmatch(text) and text.lower() not in {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
    lines = text.split("\n")
    block = len(lines) > 1 and text == text.strip(" ") and not text.startswith("\n") and not text.endswith("\n\n")
    block = block and all(line.isprintable() and line == line.rstrip() for line in lines)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else "|" if block else '"')


_Dumper.add_representer(str, _text)
