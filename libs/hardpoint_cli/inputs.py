"""Inputs and settings as they are typed: `key=value`, read as the type that the schema declares."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from hardpoint_cli.prompts import piped


def pairs(words: Sequence[str]) -> dict[str, str]:
    """The words `key=value` as a mapping; the last of two with one key counts."""
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            # The word may be half of a secret's value: it is not repeated.
            raise typer.BadParameter("an argument is not of the form key=value")
        found[key] = value
    return found


def typed(key: str, text: str, kind: Any) -> Any:
    """A value as the type that is declared for it; without one, as JSON where it is JSON and as text where not."""
    from hardpoint_kit.documents import read_json

    if kind == "string":
        return text
    try:
        value = read_json(text)
    except ValueError:
        if kind in (None, "any"):
            return text
        raise typer.BadParameter(f"{key} must be {_article(kind)}{_hint(kind)}") from None
    if kind in _PYTHON and (not isinstance(value, _PYTHON[kind]) or (isinstance(value, bool) and kind != "boolean")):
        raise typer.BadParameter(f"{key} must be {_article(kind)}{_hint(kind)}")
    return value


def by_schema(words: Sequence[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The input that `key=value` words make of a JSON Schema."""
    properties = schema.get("properties", {})
    return {key: typed(key, text, properties.get(key, {}).get("type")) for key, text in pairs(words).items()}


def files_of(words: Sequence[str], schema: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """The words that are no files, and what is given for inputs that are: `@path`, or the id of a stored one.

    A handle that is written as JSON is left as it is.
    """
    from hardpoint_manifest.handles import is_file

    properties = schema.get("properties", {})
    others, files = [], {}
    for word in words:
        key, _, text = word.partition("=")
        if is_file(properties.get(key)) and text and not text.startswith("{"):
            files[key] = text
        else:
            others.append(word)
    return others, files


def whole(text: str, option: str = "--input") -> dict[str, Any]:
    """What an option gives as one JSON object, `-` meaning what comes on stdin."""
    value = any_value(text, option)
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{option} must be a JSON object")
    return value


def any_value(text: str, option: str) -> Any:
    """What an option gives as one JSON value, `-` meaning what comes on stdin."""
    from hardpoint_kit.documents import read_json

    given = piped() if text == "-" else text
    try:
        return read_json(given)
    except ValueError as error:
        raise typer.BadParameter(f"{option} is not JSON: {error}") from None


def bytes_of(path: Path) -> bytes:
    """What is to be stored of a file: at most one byte more than may be, so that one without an end has one."""
    from hardpoint_client.files import MOST_BYTES

    with path.open("rb") as opened:
        return opened.read(MOST_BYTES + 1)


_PYTHON: Mapping[Any, tuple[type, ...]] = {
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _hint(kind: str) -> str:
    return {"boolean": ": true or false", "object": ' in JSON: {"a": 1}', "array": " in JSON: [1, 2]"}.get(kind, "")
