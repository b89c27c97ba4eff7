"""Runs a hostile corpus in a process of its own, which may use little memory and few seconds of processor time.

`python hostile.py files`, `code`, `expressions`, `plans` and `trials` end with 0, or die at a limit.
"""

import json
import resource
import sys
from typing import Any

from hardpoint_manifest.check import check
from hardpoint_manifest.expression import ExpressionError, Scope, Template, compile
from hardpoint_manifest.finding import ManifestError
from hardpoint_manifest.load import jail_error, load, load_code
from hardpoint_manifest.source_flow import Flow
from hardpoint_manifest.trial import tried
from hardpoint_manifest.views import ViewError, from_outline, to_canvas, to_outline

PROCESSOR_SECONDS = 20
MEMORY_BYTES = 700 * 1024 * 1024
MEGABYTE = 1_000_000

FILES = [
    b"a: &a [x, x]\n" + b"".join(b"k%d: [*a, *a]\n" % number for number in range(50_000)),
    b"x" * 10 * MEGABYTE,
    b"[" * MEGABYTE,
    b"a: " + b"[" * 500_000,
    b"a: " + b"9" * MEGABYTE,
    b"? " * 500_000,
    b"- " * 500_000,
    b"{{" * 500_000,
    b"a:\n" * 300_000,
    b"&a " * 300_000,
    b"%" * MEGABYTE,
    b"!!python/object:x " * 50_000,
    b'"' + b"\\x" * 500_000,
    b'{"a":' * 150_000,
    b'{"a":"' + b"\\" * MEGABYTE,
]

CODE = [
    "a-" * 500_000,
    "a" * MEGABYTE,
    "'a" * 500_000,
    "a" + " " * MEGABYTE,
    "a:" * 300_000,
    "async a: {\n" + "async a(" * 120_000,
    "async a: {\nasync" + " " * MEGABYTE,
    "async " + "a" * MEGABYTE + ": {",
]

EXPRESSIONS = [
    "-" * 4000 + "1",
    "!" * 4000 + "true",
    "1" * 4000,
    "a." * 2000 + "a",
    "x" + "+x" * 1500,
    "x.matches('(a+)+$')",
    "x.matches('(a*)*b')",
    "x.matches('(?:a?){1000}a{1000}')",
    "x.matches('((a{1000}){1000}){1000}')",
    "x.matches('" + "(" * 1500 + "')",
    "deep == deep",
    "[deep, deep] == [deep, deep]",
    "x.contains(x + 'b')",
    "x.size() > 1 ? x + x : x",
    "data[x]",
    "bytes(x)",
    "data.rows.exists(i, i < 0)",
    "data.thousand.map(i, x)",
    "data.thousand.map(i, data)",
    "data.thousand.map(i, {'a': data.thousand})",
    "data.thousand.map(i, [data.thousand, data.thousand])",
    "data.thousand.filter(i, x.contains('b'))",
    "data.thousand.all(i, !x.matches('(a|b|ab)*c'))",
    "data.hundred.map(i, data.hundred.map(j, i + j))",
    "data.nested.map(r, r.map(c, c + c))",
    "[1, 2, 3].map(a, [a, a, a]).map(b, [b, b, b]).map(c, [c, c, c])",
    "[" + ",".join("1" * 1900) + "].map(i, [i])",
    "[" + ",".join(["data"] * 800) + "]",
    "[" * 20 + "data, data" + "]" * 20,
    "{'a':" * 20 + "data" + "}" * 20,
    "true ? " * 300 + "1" + " : 2" * 300,
    "1 in " * 500 + "[1]",
    "'" + "\\u0041" * 600 + "'",
    "duration('1000000000000h')",
    "timestamp('9999999-01-01T00:00:00Z')",
]

TEMPLATES = [
    "${" * 20_000,
    "{{" * 20_000,
    "${x}" * 15_000,
    "${'" + "}" * 50_000,
    "$" * 60_000,
    "${" + "{" * 5000,
    "a" * 100_000,
]


def _line(step: dict[str, Any], most: int = 100, **words: Any) -> dict[str, Any]:
    return {"workflow": {"steps": [{"id": f"a{number}", **step} for number in range(most)], **words}}


def _drawn(nodes: list[dict[str, Any]], edges: list[tuple[str, str, str]]) -> dict[str, Any]:
    ends = [{"id": "i", "type": "input"}, *nodes, {"id": "o", "type": "output", "value": 1}]
    drawn = [{"from": a, "to": b, **({"port": port} if port else {})} for a, b, port in edges]
    return {"flow": {"nodes": ends, "edges": drawn}}


def _deep(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema, "b": schema}, "additionalProperties": False}
    return schema


_WIDE = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(5000)}}
_CALL = {"action": "desk.look-up"}
_BRANCHES = [{"id": f"b{number}", "type": "branch", "condition": "true"} for number in range(97)]
_ANALYSE = {"action": "validate.schema", "input": "x", "schema": "wide"}

PLANS: list[dict[str, Any]] = [
    _line({**_CALL, **{f"k{key}": "${steps.a1.p1 + steps.a2.p2}" for key in range(9)}}),
    _line({**_ANALYSE, "id2": "${steps.a5.p77}", "if": "steps.a3.p4 == 'x'"}, schemas={"wide": _WIDE}),
    _line({**_ANALYSE, "if": "steps.a3.a.b.a.b == 'x'"}, schemas={"wide": _deep(9)}),
    _line({**_CALL, "if": " && ".join(["input.a"] * 300), "for_each": "[" + ",".join(["input.a"] * 300) + "]"}),
    _line({**_CALL, "x": "${" + "+".join(["input.a"] * 50) + "}", "y": "${input.a}" * 9}),
    _line({**_CALL, "x": "${input.a}" * 200}),
    _line({**_CALL, "needs": [f"a{number}" for number in range(100)]}),
    _line({"action": "wait", "until": "${" * 200}),
    _line({**_CALL, "if": "(" * 2000}),
    _drawn(
        _BRANCHES,
        [
            ("i", "b0", ""),
            *((f"b{n}", f"b{n + 1}", "then") for n in range(96)),
            *((f"b{n}", "o", "else") for n in range(97)),
        ],
    ),
    _drawn(_BRANCHES, [(f"b{n}", f"b{m}", "then") for n in range(20) for m in range(20)]),
    _drawn(_BRANCHES, [(f"b{n}", f"b{m}", "else") for n in range(28) for m in range(n)]),
]


def _tried(
    step: dict[str, Any], examples: int, *, most: int = 100, loops: bool = False, **example: Any
) -> dict[str, Any]:
    """A line of steps that go on whatever happens, with so many examples; of loops, whose items give nothing."""
    more = {"for_each": "input.list", "max_items": 1000} if loops else {}
    answers = {"steps": {"a0": [{}] * 1000}} if loops and step["action"] != "transform" else {}
    line = _line({"on_error": "continue", **more, **step}, most)
    return {**line, "examples": [{**answers, **example} for _ in range(examples)]}


_LIST = {"list": [*range(1000)], "hundred": [*range(100)], "text": "x" * 1000}
_FEW = {"few": [*range(33)]}
_SEEN = "input.few.exists(i, input.few.exists(j, i + j < 0))"
_PURE = {"action": "transform"}
_BESIDE = {"needs": []}

TRIALS: list[dict[str, Any]] = [
    _tried({**_CALL, "if": "input.no"}, 3000, input={"no": False}),
    _tried({**_CALL, "if": _SEEN}, 90, input=_FEW),
    _tried({**_CALL, **_BESIDE, "x": "${input.list}"}, 8, loops=True, input=_LIST),
    _tried({**_CALL, **_BESIDE, "x": ["${input.list}"] * 150}, 5, most=6, loops=True, input=_LIST),
    _tried({**_PURE, "value": ["${input.list}"] * 450}, 14, most=2, input=_LIST),
    _tried({**_PURE, "value": "${input.list}" * 200}, 14, most=4, input=_LIST),
    _tried({**_PURE, "value": f"${{{_SEEN}}}"}, 8, loops=True, input={**_FEW, **_LIST}),
    _tried({**_PURE, "value": "${input.list.map(i, input.text)}"}, 8, loops=True, input=_LIST),
    _tried({**_PURE, "value": "${input.text + input.text + input.text + input.text}"}, 8, loops=True, input=_LIST),
    _tried({**_PURE, "value": {"a": {"a": {"a": {"a": "${input.text}"}}}}}, 8, loops=True, input=_LIST),
    {
        "workflow": {
            "steps": [
                {"id": "a", **_PURE, "value": "x"},
                *(
                    {"id": f"a{n}", **_PURE, "value": [[[[[[[[f"${{steps.a{n - 1 if n else ''}}}"]]]]]]]]}
                    for n in range(99)
                ),
            ]
        },
        "examples": [{"expected_output": 1}, {"expected_output": [[[[["x"]]]]]}, {}],
    },
    {
        "workflow": {
            "steps": [
                {
                    "id": "a0",
                    **_CALL,
                    "for_each": "input.list",
                    "max_items": 1000,
                    "revert": {**_CALL, "x": ["${input.hundred.map(i, i + 1)}"] * 199},
                },
                {"id": "b", **_CALL},
            ]
        },
        "examples": [
            {
                "input": _LIST,
                "steps": {"a0": [{"revert": {}}] * 1000, "b": {"fails": "X"}},
                "expected_error": "X",
            }
        ]
        * 6,
    },
    _tried(
        {"action": "email.send", "to": "a", "subject": "s", "body": "b", "attachments": "${input.files}", **_BESIDE},
        2,
        loops=True,
        input={**_LIST, "files": [{"id": "x"}] * 900},
    ),
    _tried(
        {**_CALL, "x": "${input.text}"},
        500,
        most=1,
        input={"text": "a" * 900},
        steps={"a0": {"given": {"x": {"$regex": "(a|b|ab)*c" * 20}}}},
    ),
    {
        "workflow": {"steps": [{"id": "a", **_PURE, "value": 1}], "output": [["${input.list}"] * 900] * 1},
        "examples": [{"input": {"list": [*range(1000)]}}] * 15,
    },
]


def trials() -> None:
    """Every example of a hostile workflow is tried, and says little."""
    for number, hostile in enumerate(TRIALS):
        data = json.dumps({"capability": {"id": "x", "version": "1.0.0", **hostile}}, separators=(",", ":")).encode()
        try:
            found = check(load(data, "x.json"))
        except ManifestError as error:
            raise SystemExit(f"{number} was not loaded: {error}"[:500]) from error
        if not found.ok or found.manifest is None:
            raise SystemExit(f"{number} was not checked: {found.findings[0]}"[:500])
        for one in tried(found.manifest):
            if len(one.differences) > 20 or any(len(difference) > 500 for difference in one.differences):
                raise SystemExit(f"{number} has much to say")


def plans() -> None:
    """Every hostile flow and workflow is checked, and what passes is read back."""
    for number, plan in enumerate(PLANS):
        data = json.dumps({"capability": {"id": "x", "version": "1.0.0", **plan}}).encode()
        try:
            found = check(load(data, "x.json"))
        except ManifestError as error:
            raise SystemExit(f"{number} was not loaded: {error}"[:500]) from error
        if any(len(finding.message) > 2000 for finding in found.findings):
            raise SystemExit(f"{number} has a long finding")
        if "flow" in plan and found.manifest is not None:
            flow = Flow.model_validate(plan["flow"])
            if to_canvas(from_outline(to_outline(flow))) != to_canvas(flow):
                raise SystemExit(f"{number} is not what it was")
    for text in (
        "transform a\n" * 100_000,
        "loop " * 200_000,
        "a a after " + "b, " * 300_000,
        '"' * MEGABYTE,
        " " * MEGABYTE,
    ):
        try:
            from_outline(text)
        except ViewError:
            continue
        if text.strip():
            raise SystemExit(f"{text[:20]!r} was read")


def files() -> None:
    """Every hostile file is refused, as YAML and as JSON."""
    for data in FILES:
        for filename in ("x.yaml", "x.json"):
            try:
                load(data, filename)
            except ManifestError as error:
                if error.findings[0].line < 1:
                    raise SystemExit(f"{data[:20]!r} has no line") from error
            else:
                raise SystemExit(f"{data[:20]!r} was loaded")


def code() -> None:
    """The places of a header, and of what a module failed at, are found in every hostile source."""
    header = {"id": "a", "actions": [{"id": f"a{number}"} for number in range(1000)]}
    failure = {"name": "SyntaxError", "message": "m", "stack": [{"line": 10**300, "column": -1}]}
    for source in CODE:
        load_code(source.encode(), "x.js", header)
        for at in (failure, {**failure, "line": 1}):
            if jail_error(source.encode(), "x.js", at).findings[0].line < 1:
                raise SystemExit(f"{source[:20]!r} has no line")


def expressions() -> None:
    """Every hostile expression and template ends, with a value or a short reason."""
    deep: list[object] = []
    for _ in range(900):
        deep = [deep]
    data = {
        "rows": list(range(9000)),
        "thousand": list(range(1000)),
        "hundred": ["a"] * 100,
        "nested": [["b"] * 90] * 90,
    }
    variables = {"data": data, "x": "a" * MEGABYTE, "deep": deep}
    scope = Scope.of(*variables)
    for text in EXPRESSIONS:
        try:
            compile(text, scope).evaluate(variables)
        except ExpressionError as error:
            if len(error.message) > 500:
                raise SystemExit(f"{text[:20]!r} has a long reason") from error
    for text in TEMPLATES:
        try:
            Template.parse(text, scope)
        except ExpressionError:
            continue


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_SECONDS, PROCESSOR_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    {"files": files, "code": code, "expressions": expressions, "plans": plans, "trials": trials}[sys.argv[1]]()
