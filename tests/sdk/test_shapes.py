"""What a function of `this` takes is what the one of `self` takes, and what editors are told of both."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import hardpoint_sdk
from hardpoint_executor.jail import Jails
from hardpoint_sdk.python import host, utils
from jail.conftest import RecordedDoor
from jail.programs import javascript
from sdk.test_stubs import NAMED
from sdk.test_utils import snake

DECLARED = (Path(hardpoint_sdk.__file__).parent / "javascript" / "hardpoint.d.ts").read_text()
JAVASCRIPT = """
const found = {};
for (const [place, owner] of [['', this], ...NAMED.map((name) => [name + '.', this[name]])]) {
  for (const [name, value] of Object.entries(owner)) {
    if (typeof value === 'function') found[place + name] = String(value);
  }
}
return found;
""".replace("NAMED", str(list(NAMED)))


class Shape(NamedTuple):
    """In Python's spelling: what is given by its place, and what by its name."""

    positional: tuple[str, ...]
    named: frozenset[str]


def until(text: str, at: int) -> int:
    """Where the bracket that opens at `at` closes."""
    depth = 0
    for end in range(at, len(text)):
        if text[end] in "({[<":
            depth += 1
        elif text[end] in ")}]" or (text[end] == ">" and text[end - 1] != "="):
            depth -= 1
        if depth == 0:
            return end
    raise AssertionError(text[at:])


def parts(text: str, separator: str = ",") -> list[str]:
    """The text between separators that stand in no bracket."""
    found, at, begin = list[str](), 0, 0
    while at < len(text):
        if text[at] in "({[<":
            at = until(text, at)
        elif text[at] == separator:
            found.append(text[begin:at])
            begin = at + 1
        at += 1
    return [part.strip() for part in [*found, text[begin:]] if part.strip()]


def name_of(parameter: str) -> str:
    """The name that a parameter or a member begins with."""
    match = re.match(r"\w+", parameter)
    assert match is not None, parameter
    return snake(match[0])


def written(source: str) -> Shape:
    """What a function of JavaScript takes, by its source: one that takes an object names what it looks for in it."""
    source = re.sub(r"'.'", "''", source)
    at = source.index("(")
    positional, named = list[str](), set[str]()
    for parameter in parts(source[at + 1 : until(source, at)]):
        if parameter.startswith("{"):
            named |= {name_of(one) for one in parts(parameter[1 : until(parameter, 0)])}
        else:
            positional.append(name_of(parameter))
    return Shape(tuple(positional), frozenset(named))


def interface(name: str) -> str:
    body = re.search(rf"^export interface {name} \{{\n(.*?)^\}}", DECLARED, re.MULTILINE | re.DOTALL)
    assert body is not None, name
    return re.sub(r"/\*.*?\*/", "", body[1], flags=re.DOTALL)


def members(text: str) -> Iterator[str]:
    yield from (name_of(one) for one in parts(text, ";"))


def declared(name: str) -> dict[str, Shape]:
    """What the methods of an interface take; what is an object of options counts by the options' names."""
    found: dict[str, Shape] = {}
    for member in parts(interface(name), ";"):
        if (match := re.match(r"(\w+)\(", member)) is None:
            continue
        positional, named = list[str](), set[str]()
        for parameter in parts(member[match.end() : until(member, match.end() - 1)]):
            type_ = parameter.partition(":")[2].strip()
            if type_.startswith("{"):
                named |= {*members(type_[1 : until(type_, 0)])}
            elif name_of(parameter) in ("options", "request", "mail", "wanted"):
                named |= {*members(interface(type_))}
            else:
                positional.append(name_of(parameter))
        before = found.get(snake(match[1]), Shape((), frozenset()))
        found[snake(match[1])] = Shape(tuple(positional), before.named | named)
    return found


def offered(function: Any) -> Shape:
    """What a function of Python takes. Each place of `fetch` that takes a body is one of JavaScript's `body`."""
    parameters = [one for one in inspect.signature(function).parameters.values() if one.name != "self"]
    named = {one.name for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY}
    positional = tuple(one.name for one in parameters if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return Shape(positional, frozenset(named))


async def nobody(service: str, method: str, arguments: Any) -> Any:
    raise AssertionError


def of_python() -> dict[str, Shape]:
    """What `self` offers, by place."""
    found: dict[str, Shape] = {}
    for name, owner in {**host.offered(nobody, lambda _: None), "utils": utils}.items():
        if inspect.isfunction(owner):
            found[name] = offered(owner)
            continue
        own = {one: what for one, what in inspect.getmembers(owner, inspect.isroutine) if not one.startswith("_")}
        if isinstance(owner, ModuleType):
            own = {one: what for one, what in own.items() if what.__module__ == owner.__name__}
        found |= {f"{name}.{one}": offered(what) for one, what in own.items()}
    return found


def of_declarations() -> dict[str, Shape]:
    here = declared("This")
    return here | {f"{place}.{one}": shape for place, name in NAMED.items() for one, shape in declared(name).items()}


def test_what_is_declared_is_what_python_takes() -> None:
    python, told = of_python(), of_declarations()
    assert python["fetch"].named - {"json"} == told.pop("fetch").named
    del python["fetch"]
    # It takes what is wanted by any name; which there are the broker says.
    assert python.pop("email.search") == Shape((), frozenset())
    words = {"folder", "from", "to", "subject", "text", "since", "before", "unseen", "limit"}
    assert told.pop("email.search").named == words
    assert told == python


async def test_what_is_declared_is_what_javascript_takes(jails: Jails, tier: str) -> None:
    call = javascript(JAVASCRIPT, engine="quickjs" if tier == "slots" else "node")
    sources: dict[str, str] = (await jails.run(call, RecordedDoor())).value
    del sources["act"]
    real = {snake(place): written(source) for place, source in sources.items()}
    for place, told in of_declarations().items():
        # What hands its options on as they are names none of them.
        whole = next((one for one in ("options", "request", "mail", "wanted") if one in real[place].positional), None)
        if whole is None:
            assert real[place] == told, place
        else:
            assert tuple(one for one in real[place].positional if one != whole) == told.positional, place
    assert set(real) == set(of_declarations())
