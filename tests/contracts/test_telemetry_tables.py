"""What ARCHITECTURE.md says of spans and metrics is what the code makes: none is missing there, none is made up."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = {
    path: ast.parse(path.read_text())
    for folder in ("services", "libs")
    for path in (ROOT / folder).glob("hardpoint_*/**/*.py")
}
NODES = [(module, node) for module in MODULES.values() for node in ast.walk(module)]
INSTRUMENT = re.compile(r"create_(observable_)?(histogram|counter|up_down_counter|gauge)")
NOT_NAMED = {"/package.Service/Method", "GET"}
"""Spans whose whole name is what was asked for."""


def documented(heading: str) -> set[str]:
    """The names in the first column of the table with that heading, each up to where it goes on with another name."""
    _, _, rest = (ROOT / "ARCHITECTURE.md").read_text().partition(f"\n| {heading} | ")
    rows = [line.split(" | ")[0] for line in rest.partition("\n\n")[0].splitlines()[2:]]
    return {name.partition("<")[0] for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_every_metric_is_documented() -> None:
    made = {
        node.args[0].value
        for _, node in NODES
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and INSTRUMENT.fullmatch(node.func.attr)
        if isinstance(node.args[0], ast.Constant)
    }
    assert made == documented("metric")


def test_every_span_is_documented() -> None:
    made = {
        begins
        for module, node in NODES
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in ("start_span", "start_as_current_span")
        for begins in beginnings(node.args[0], module)
    }
    made = made - {"broker "} | {f"broker {service}" for service in (*services_of_the_broker(), "unknown")}
    assert made == documented("span") - NOT_NAMED


def beginnings(name: ast.expr, module: ast.Module) -> Iterator[str]:
    """How the name of a span begins, of each that it may be; nothing for a name that is handed over."""
    match name:
        case ast.Constant(value=str(text)) | ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
            yield text
        case ast.IfExp():
            yield from beginnings(name.body, module)
            yield from beginnings(name.orelse, module)
        case ast.Name():
            for node in ast.walk(module):
                if isinstance(node, ast.Assign) and ast.dump(node.targets[0]) == ast.dump(
                    ast.Name(name.id, ast.Store())
                ):
                    yield from beginnings(node.value, module)


def services_of_the_broker() -> Iterator[str]:
    for node in ast.walk(MODULES[ROOT / "services" / "hardpoint_executor" / "broker" / "broker.py"]):
        match node:
            case ast.AnnAssign(target=ast.Attribute(attr="_services"), value=ast.Dict(keys=keys)):
                yield from (key.value for key in keys if isinstance(key, ast.Constant))
            case ast.Assign(targets=[ast.Subscript(value=ast.Attribute(attr="_services"), slice=ast.Constant(value))]):
                yield value
