"""Generated flows and workflows, right and wrong ones."""

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

IDS = [f"n{number}" for number in range(8)]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12) | st.sampled_from(
    [
        "yes",
        "null",
        "1e3",
        "1:30",
        "~",
        "- a",
        "a: b",
        "#",
        "a\n\n  b\n",
        " a\n",
        "\n",
        "a\r\nb",
        "| x",
        "@",
        "\u2028",
        "a\u0085b",
    ]
)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
)
JSON = st.recursive(
    SCALARS, lambda part: st.lists(part, max_size=3) | st.dictionaries(TEXTS, part, max_size=3), max_leaves=6
)
NUMBERS = st.integers(-5000, 5000) | st.floats(-1e6, 1e6)
POSITIONS = st.none() | st.fixed_dictionaries({"x": NUMBERS, "y": NUMBERS})
PARAMETERS = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.fixed_dictionaries(
        {}, optional={"type": st.sampled_from(["string", "number", "any"]), "required": st.booleans()}
    ),
    max_size=2,
)


def _node(kind: str, needed: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    words = {"name": TEXTS, "position": POSITIONS, **optional}
    return st.fixed_dictionaries({"type": st.just(kind), **needed}, optional=words)


@dataclass(frozen=True)
class Words:
    """What generated nodes say; `sound` ones are drawn as they should be."""

    conditions: st.SearchStrategy[str] = TEXTS
    lists: st.SearchStrategy[str] = TEXTS
    values: st.SearchStrategy[Any] = JSON
    sound: bool = False

    def node(self) -> st.SearchStrategy[dict[str, Any]]:
        """A node that is no loop and no end."""
        integration = {
            "endpoint": st.just("https://api.example.com/x"),
            "params": st.dictionaries(TEXTS.filter(len) if not self.sound else st.just("q"), self.values, max_size=2),
        }
        doing = {
            "timeout": st.integers(1, 60),
            "retry": st.integers(0, 3),
            "on_error": st.sampled_from(["fail", "continue"]),
        }
        code = {"language": st.sampled_from(["python", "javascript"]), "code": TEXTS.filter(len)}
        actions = st.sampled_from(["desk.look-up"] if self.sound else ["desk.look-up", "ocr.extract", "email.send"])
        given = {"input": self.values}
        needed, optional = (given, {}) if self.sound else ({}, given)
        request = {
            "integration": st.fixed_dictionaries(
                integration if not self.sound else {"endpoint": integration["endpoint"]}
            )
        }
        return st.one_of(
            _node("api", {**request, **needed}, {**optional, **doing}),
            _node("call", {"action": actions, **needed}, {**optional, **doing}),
            _node("code", {**code, **needed}, {**optional, "outputs": PARAMETERS}),
            _node("parse", {"format": st.sampled_from(["json", "csv", "lines"]), **needed}, optional),
            _node("filter", {"condition": self.conditions, **needed}, optional),
            _node("transform", {"value": self.values}, {"for_each": self.lists, "max_items": st.integers(1, 1000)}),
            _node("branch", {"condition": self.conditions}, {}),
        )


@st.composite
def flows(draw: st.DrawFn, words: Words = Words()) -> dict[str, Any]:
    """A flow; the ids of the nodes are all their own."""
    free = draw(st.permutations(IDS))

    def graph(depth: int) -> dict[str, Any]:
        nodes = []
        for _ in range(draw(st.integers(1 if words.sound and depth else 0, 4))):
            if not free:
                break
            id = free.pop()
            if depth < 2 and len(free) > 1 and draw(st.integers(0, 4)) == 0:
                loop = draw(_node("loop", {"for_each": words.lists}, {"result": words.values}))
                nodes.append({"id": id, **loop, "body": graph(depth + 1)})
            else:
                nodes.append({"id": id, **draw(words.node())})
        if depth == 0:
            begin = {"id": "begin", "type": "input", "inputs": draw(PARAMETERS) if not words.sound else {}}
            outputs = {} if words.sound else {"outputs": PARAMETERS}
            end = {"id": "end", **draw(_node("output", {"value": words.values}, outputs))}
            nodes = [begin, *nodes, end]
        return {"nodes": nodes, "edges": draw(_edges(nodes, sound=words.sound, least=depth == 0))}

    return graph(0)


@st.composite
def _edges(draw: st.DrawFn, nodes: list[dict[str, Any]], *, sound: bool, least: bool) -> list[dict[str, Any]]:
    """Edges mostly from a node to a later one, with ports where they belong."""
    kinds = {node["id"]: node["type"] for node in nodes}
    ids = list(kinds)
    found = []
    for later, id in enumerate(ids):
        before = ids[:later] if sound else ids[:later] or ids
        fewest = 1 if sound and least and before else 0
        for source in draw(
            st.lists(st.sampled_from(before or [id]), min_size=fewest, max_size=2 if before else 0, unique=True)
        ):
            port = {"port": draw(st.sampled_from(["then", "else"]))} if kinds[source] == "branch" else {}
            found.append({"from": source, "to": id, **port})
    if not sound and draw(st.integers(0, 9)) == 0:
        found.append({"from": "n0", "to": "gone"})
    return draw(st.permutations(found))
