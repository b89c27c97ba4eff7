"""What editors are told `this` and `self` offer is what the SDK offers, name for name."""

import re
from pathlib import Path
from typing import Any

import hardpoint_sdk
from hardpoint_executor.jail import JailCall, Jails
from hardpoint_sdk.python import host
from hardpoint_sdk.python.plugin import Plugin
from jail.conftest import RecordedDoor
from jail.programs import javascript, python

DECLARED = (Path(hardpoint_sdk.__file__).parent / "javascript" / "hardpoint.d.ts").read_text()
NAMED = {
    "file": "Files",
    "context": "Context",
    "db": "Database",
    "ai": "Ai",
    "email": "Email",
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
PYTHON = "return sorted(name for name in vars(self))"


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
    for name in ("file", "context", "db", "ai", "email"):
        public = {method for method in dir(offered[name]) if not method.startswith("_")}
        assert public == set(members(NAMED[name])), name
