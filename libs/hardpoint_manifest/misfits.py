"""Inputs that an action's schema refuses, made from the schema: the same ones each time. Pure.

At every place of the schema, in nested objects and lists too: what is required left out, a member that nobody knows,
and a value of every other kind.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import chain, islice, zip_longest
from typing import Any, Final

from hardpoint_manifest.inputs import InputSchema
from hardpoint_manifest.model import Action

MOST: Final = 10
"""For one action."""
_KINDS: Final[tuple[Any, ...]] = (
    None,
    True,
    -1,
    1.5,
    "",
    "no such value",
    [],
    [None],
    {},
    {"a": {"b": 1}},
    "x" * 5000,
    10**15,
)


def misfits(action: Action, fitting: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Inputs that do not fit, of each place some; `fitting` is one that does, such as an example's.

    None for an action that declares no inputs: it takes any object.
    """
    schema = action.input_schema()
    compiled = InputSchema(schema)
    properties: Mapping[str, Any] = schema.get("properties", {})
    places = [_objects(schema, fitting)] if properties else []
    places += [_with(fitting, name, inner) for name, inner in properties.items()]
    in_turn = (value for value in chain(*zip_longest(*places)) if value is not None)
    found = {json.dumps(value): value for value in in_turn if compiled.violations(compiled.completed(value))}
    return list(islice(found.values(), MOST))


def _with(fitting: Mapping[str, Any], name: str, schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    return ({**fitting, name: value} for value in _values(schema, fitting.get(name)))


def _values(schema: Mapping[str, Any], fitting: Any) -> Iterator[Any]:
    """What may stand in one place; some of it does not fit only because of what is inside."""
    if isinstance(schema.get("items"), Mapping):
        yield from ([inner] for inner in islice(_values(schema["items"], None), 3))
    if schema.get("properties"):
        whole = fitting if isinstance(fitting, Mapping) else {}
        yield from _objects(schema, whole)
        for name, inner in schema["properties"].items():
            yield from islice(_with(whole, name, inner), 2)
    yield from _KINDS


def _objects(schema: Mapping[str, Any], fitting: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """An object without each of what it must have, and with what it does not know."""
    for name in schema.get("required", ()):
        yield {key: value for key, value in fitting.items() if key != name}
    yield {**fitting, "no_such_input": 1}
    yield {**fitting, "__proto__": {"a": 1}}
