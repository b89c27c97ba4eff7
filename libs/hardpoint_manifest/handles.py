"""Owns where an action's input holds stored files: wherever its schema is that of a file, and nowhere else; pure.

A handle that stands in a text, or in a place of any type, is data.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from hardpoint_manifest.model import FILE_SCHEMA

_TELLING: Final = ("type", "properties", "required", "additionalProperties")
_FILE: Final = {key: FILE_SCHEMA[key] for key in _TELLING}
_BEFORE: Final = {
    **_FILE,
    "properties": {name: schema for name, schema in FILE_SCHEMA["properties"].items() if name != "expire_time"},
}
"""As it was written before handles said when their files expire."""

Place = tuple[str | int, ...]
"""The keys and indexes that lead to a value."""


def is_file(schema: Any) -> bool:
    """Whether a schema is that of a file, whatever it says of it in words."""
    return isinstance(schema, dict) and {key: schema.get(key) for key in _FILE} == _FILE


def present(schema: Any) -> Any:
    """The schema with what handles say now: a release keeps the one that it was published with."""
    if not isinstance(schema, dict):
        return schema
    if {key: schema.get(key) for key in _BEFORE} == _BEFORE:
        return {**schema, "properties": FILE_SCHEMA["properties"]}
    changed = dict(schema)
    if isinstance(properties := schema.get("properties"), dict):
        changed["properties"] = {name: present(inner) for name, inner in properties.items()}
    if "items" in schema:
        changed["items"] = present(schema["items"])
    return changed


def handles(schema: Any, value: Any, place: Place = ()) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Every handle in a value that fits the schema, with its place."""
    if not isinstance(schema, dict):
        return
    if is_file(schema):
        if isinstance(value, dict):
            yield place, value
    elif isinstance(value, dict):
        for key, inner in schema.get("properties", {}).items():
            if key in value:
                yield from handles(inner, value[key], (*place, key))
    elif isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from handles(schema["items"], item, (*place, index))


def with_handles(value: Any, new: Mapping[Place, Any]) -> Any:
    """The value with others at some places."""
    leading = {place[:steps] for place in new for steps in range(len(place))}

    def changed(old: Any, place: Place) -> Any:
        if place in new:
            return new[place]
        if place not in leading:
            return old
        if isinstance(old, Mapping):
            return {key: changed(inner, (*place, key)) for key, inner in old.items()}
        return [changed(item, (*place, index)) for index, item in enumerate(old)]

    return changed(value, ())


def path_of(place: Place) -> str:
    """A place as people read it: `input.invoices[0]`."""
    return "input" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
