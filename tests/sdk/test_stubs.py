"""What editors are told `this` and `self` offer is what the SDK offers, name for name."""

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import hardpoint_sdk
from hardpoint_executor.jail import JailCall, Jails
from hardpoint_sdk.python import BrokerError, Response, host, services, utils
from hardpoint_sdk.python.plugin import Plugin
from hardpoint_sdk.python.websocket import WebSocket
from jail.conftest import RecordedDoor
from jail.programs import javascript, python

SDK = Path(hardpoint_sdk.__file__).parent
DECLARED = (SDK / "javascript" / "hardpoint.d.ts").read_text()
STUB = SDK / "python" / "hardpoint_sdk.pyi"
NAMED = {
    "file": "Files",
    "context": "Context",
    "db": "Database",
    "ai": "Ai",
    "email": "Email",
    "calendar": "Calendar",
    "utils": "Utils",
}
JAVASCRIPT = """
const names = (value) => Object.keys(value).sort();
const found = { this: names(this) };
for (const name of NAMED) found[name] = names(this[name]);
return found;
""".replace("NAMED", str(list(NAMED)))
RESPONSE = """
const page = await this.fetch('https://api.example.com/');
return [...Object.keys(page), ...Object.getOwnPropertyNames(Object.getPrototypeOf(page))].sort();
"""
SOCKET = """
const socket = await this.websocket('wss://api.example.com/');
return [...Object.keys(socket), ...Object.getOwnPropertyNames(Object.getPrototypeOf(socket))].sort();
"""
PYTHON = "return sorted(name for name in vars(self))"


class Opening:
    async def ask(self, service: str, method: str, arguments: Any, /) -> Any:
        return {"socket": 1, "subprotocol": ""}


def members(interface: str) -> list[str]:
    """The names that an interface of the declarations has, each once."""
    body = re.search(rf"^export interface {interface} \{{\n(.*?)^\}}", DECLARED, re.MULTILINE | re.DOTALL)
    assert body is not None, interface
    return sorted(set(re.findall(r"^  (\w+)\??[:(]", body[1], re.MULTILINE)))


async def test_the_declarations_name_what_this_offers(jails: Jails, door: RecordedDoor) -> None:
    found: Any = (await jails.run(javascript(JAVASCRIPT), door)).value
    assert found.pop("this") == sorted([*members("This"), "act"])
    assert found == {name: members(interface) for name, interface in NAMED.items()}
    response = (await jails.run(javascript(RESPONSE), door)).value
    assert response == sorted([*members("HttpResponse"), "constructor"])
    socket = (await jails.run(javascript(SOCKET), Opening())).value
    assert socket == sorted([*members("WebSocket"), "constructor"])
    public = {name for name in dir(WebSocket) if not name.startswith("_")}
    assert public | {"subprotocol", "closed"} == set(members("WebSocket"))


async def test_the_protocol_names_what_self_offers(jails: Jails, door: RecordedDoor) -> None:
    call: JailCall = python(PYTHON)
    found = (await jails.run(call, door)).value
    methods = {name for name, member in vars(Plugin).items() if callable(member) and not name.startswith("_")}
    assert set(found) == set(Plugin.__annotations__) | methods


def test_both_languages_offer_the_same() -> None:
    async def ask(service: str, method: str, arguments: Any) -> Any:
        raise AssertionError

    offered = host.offered(ask, lambda _: None)
    assert set(offered) | {"utils", "config", "permissions", "actions"} == set(members("This"))
    for name in ("file", "context", "db", "ai", "email", "calendar"):
        public = {method for method in dir(offered[name]) if not method.startswith("_")}
        assert public == set(members(NAMED[name])), name


CLASSES: dict[str, Any] = {
    "BrokerError": BrokerError,
    "Response": Response,
    "Plugin": Plugin,
    "_WebSocket": WebSocket,
    "_Files": host.Files,
    "_Context": host.Context,
    "_Database": services.Database,
    "_Ai": services.Ai,
    "_Email": services.Email,
    "_Calendar": services.Calendar,
    "_Utils": utils,
}
"""Of the stub, and what they are of the SDK."""


def stubbed(body: list[ast.stmt]) -> dict[str, set[tuple[str, str, bool]]]:
    """The public functions of a stub: the parameters of each by name and kind, with whether they may be left out."""
    found: dict[str, set[tuple[str, str, bool]]] = {}
    for function in body:
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or function.name.startswith("_"):
            continue
        given = function.args
        defaults = [None] * (len(given.args) - len(given.defaults)) + [*given.defaults]
        either = [("POSITIONAL_OR_KEYWORD", *pair) for pair in zip(given.args, defaults, strict=True)]
        by_name = [("KEYWORD_ONLY", *pair) for pair in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
        rest = [("VAR_KEYWORD", given.kwarg, None)] if given.kwarg else []
        found.setdefault(function.name, set()).update(
            (arg.arg, kind, default is not None)
            for kind, arg, default in (*either, *by_name, *rest)
            if arg.arg != "self"
        )
    return found


def real(owner: Any) -> dict[str, set[tuple[str, str, bool]]]:
    """The same of a class, or of a module's own functions."""
    found = {}
    for name, member in vars(owner).items():
        is_own = inspect.isclass(owner) or getattr(member, "__module__", "") == owner.__name__
        function = member.fget if isinstance(member, property) else member
        if name.startswith("_") or not inspect.isfunction(function) or not is_own:
            continue
        parameters = inspect.signature(function).parameters.values()
        found[name] = {
            (p.name, p.kind.name, p.default is not inspect.Parameter.empty) for p in parameters if p.name != "self"
        }
    return found


def test_the_stub_has_the_shapes_of_the_sdk() -> None:
    tree = ast.parse(STUB.read_text())
    classes = {node.name: node.body for node in tree.body if isinstance(node, ast.ClassDef)}
    for name, owner in CLASSES.items():
        told = stubbed(classes[name])
        for of in told.values():  # an overload says that one of them is there; the function itself, that it may be
            of -= {one for one in of if not one[2] and (*one[:2], True) in of}
        if name == "_Files":
            told["list"] = {(*one[:2], True) for one in told["list"]}
        assert told == real(owner), name
    attributes = {node.target.id for node in classes["Plugin"] if isinstance(node, ast.AnnAssign)}  # type: ignore[union-attr]
    assert attributes == set(Plugin.__annotations__)
    public = {name for name in classes if not name.startswith("_")}
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert public | functions == set(hardpoint_sdk.__all__)


WRITTEN = """
from typing import Any

from hardpoint_sdk import BrokerError, Plugin, action, capability

@capability(id="typed", name="Typed", version="1.0.0")
class Typed(Plugin):
    @action(description="Uses what there is")
    async def act(self, input: dict[str, Any]) -> list[Any]:
        try:
            ws = await self.websocket("wss://api.example.com/", headers={"a": "b"}, subprotocols=["v1"])
            message: str | bytes | None = await ws.receive(timeout=1)
        except BrokerError as error:
            self.log(error.code, "warning")
        user = await self.context.user()
        name: str = user["name"] if user else ""
        data: bytes = b"".join([await self.file.open(file) for file in await self.context.files()])
        handles = await self.file.list(stored=True)
        page = await self.fetch("https://api.example.com/", method="POST", json={"name": name})
        rows = await self.db.query("SELECT $1", [page.text])
        mean = self.utils.mean([1, 2])
        return [data, handles[0]["id"], rows, mean]

@action
async def alone(self: Plugin, input: dict[str, Any]) -> float:
    return self.utils.median(input["rows"], column="n")
"""
WRONG = {
    "await ws.receive(timeout=1)": "await ws.receive(1)",
    'user["name"] if': 'user["nom"] if',
    'handles[0]["id"]': 'handles[0]["digest"]',
    '"warning"': '"warn"',
    "self.utils.mean(": "self.utils.average(",
}


def test_editors_check_a_capability_with_the_stub(tmp_path: Path) -> None:
    wrong = WRITTEN
    for old, new in WRONG.items():
        assert old in wrong
        wrong = wrong.replace(old, new)
    (tmp_path / "hardpoint_sdk.pyi").write_text(STUB.read_text())
    (tmp_path / "right.py").write_text(WRITTEN)
    (tmp_path / "wrong.py").write_text(wrong)
    told = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir=.cache", "right.py", "wrong.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "MYPYPATH": ""},
    )
    places = {tuple(line.split(":")[:2]) for line in told.stdout.splitlines() if ": error:" in line}
    lines = wrong.splitlines()
    expected = {("wrong.py", str(lines.index(line) + 1)) for line in lines for new in WRONG.values() if new in line}
    assert places == expected, told.stdout
    assert len(expected) == len(WRONG)
