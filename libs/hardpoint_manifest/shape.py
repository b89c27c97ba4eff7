"""The shape of a document: what pydantic says about it, in words for the person who wrote it."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hardpoint_manifest import source as written
from hardpoint_manifest.authority import nearest
from hardpoint_manifest.document import Document
from hardpoint_manifest.finding import Finding, Path, Severity

_File = TypeVar("_File", written.CapabilityFile, written.Header)
_MAX_FINDINGS: Final = 50
_SHAPES: Final = frozenset({"<list>", "<mapping>", "<name>", "<number>"})
"""Tags of unions that tell a value's shape; the other tags are the types of nodes."""
_TYPES: Final = {dict: "a mapping", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
_WANTED: Final = {
    "string_type": "a text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dataclass_type": "a mapping",
}


def read(document: Document, model: type[_File]) -> tuple[_File | None, tuple[Finding, ...]]:
    """The document as its author's model, or the findings that say why it is none."""
    try:
        return model.model_validate(document.data), ()
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True)
        return None, tuple(_finding(document, model, detail) for detail in details[:_MAX_FINDINGS])


def _finding(document: Document, model: type[_File], detail: ErrorDetails) -> Finding:
    kind = detail["type"]
    path = _path(detail["loc"], document.data, kind)
    name = str(path[-1]) if path else "the file"
    if kind == "missing":
        return document.finding("missing-field", Severity.ERROR, path, f"`{name}` is missing", f"add `{name}`")
    if kind == "extra_forbidden":
        close = nearest(name, _known(model, detail["loc"]))
        fix = f"did you mean {close}?" if close else "remove it"
        return document.finding("unknown-key", Severity.ERROR, path, f"`{name[:64]}` is not known here", fix)
    if kind in {"invalid_name", "reserved_name"}:
        return document.finding("invalid-id", Severity.ERROR, path, detail["msg"], "choose another name")
    if kind == "union_tag_invalid":
        return _no_type(document, path, detail)
    if kind == "literal_error":
        choices = [choice.strip("' ") for choice in str(detail["ctx"]["expected"]).replace(" or ", ", ").split(", ")]
        given = detail["input"]
        close = nearest(str(given), choices) if isinstance(given, str) else None
        fix = f"did you mean {close}?" if close else ""
        message = f"`{name}` is {str(given)[:64]!r}; it can be {', '.join(choices)}"
        return document.finding("invalid-value", Severity.ERROR, path, message, fix)
    if kind in _WANTED:
        given = detail["input"]
        found = _TYPES.get(type(given), "a number")
        message = f"`{name}` must be {_WANTED[kind]}, but is {found}"
        fix = "put it in quotes" if kind == "string_type" and isinstance(given, bool | int | float) else ""
        return document.finding("invalid-type", Severity.ERROR, path, message, fix)
    message = detail["msg"].removeprefix("Value error, ")
    return document.finding("invalid-value", Severity.ERROR, path, f"`{name}`: {message}")


def _no_type(document: Document, path: Path, detail: ErrorDetails) -> Finding:
    """A node whose type is none."""
    choices = re.findall(r"<(\w+)>", str(detail["ctx"]["expected_tags"]))
    given = detail["input"].get("type") if isinstance(detail["input"], Mapping) else None
    if given is None:
        message = f"the node has no type; it can be {', '.join(choices)}"
        return document.finding("missing-field", Severity.ERROR, path, message, "add `type`")
    close = nearest(str(given), choices)
    message = f"`type` is {str(given)[:64]!r}; it can be {', '.join(choices)}"
    fix = f"did you mean {close}?" if close else ""
    return document.finding("invalid-value", Severity.ERROR, (*path, "type"), message, fix)


def _path(location: tuple[int | str, ...], data: Any, kind: str) -> Path:
    """The path in the document: pydantic also names the branches of its unions, which no author wrote."""
    path: list[str | int] = []
    value = data
    for index, part in enumerate(location):
        if isinstance(value, Mapping) and part in value:
            value = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        elif kind != "missing" or index < len(location) - 1:
            continue
        path.append(part)
    return tuple(path)


def _known(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that may stand beside the unknown one at the end of the location."""
    schema = _schema(model)
    node: dict[str, Any] = schema
    for part in location[:-1]:
        node = _step(schema, node, part)
    return list(_resolve(schema, node).get("properties", {}))


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(by_alias=True)


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    for option in node.get("anyOf", []):
        if option.get("type") != "null":
            return _resolve(schema, option)
    if "$ref" in node:
        return dict(schema["$defs"][node["$ref"].rpartition("/")[2]])
    return node


def _step(schema: dict[str, Any], node: dict[str, Any], part: int | str) -> dict[str, Any]:
    if isinstance(part, str) and part.startswith("<") and part not in _SHAPES:
        return _of_type(schema, node, part.strip("<>"))
    if isinstance(part, str) and part.startswith("<"):
        wanted = "array" if part == "<list>" else "object"
        options = (_resolve(schema, one) for one in node.get("anyOf") or node.get("oneOf") or [node])
        return next((option for option in options if option.get("type") == wanted), {})
    node = _resolve(schema, node)
    if isinstance(part, int):
        return dict(node.get("items", {}))
    named = node.get("properties", {}).get(part)
    # A mapping of checked names has its values under the pattern of the names.
    return dict(named or next(iter(node.get("patternProperties", {}).values()), {}))


def _of_type(schema: dict[str, Any], node: dict[str, Any], name: str) -> dict[str, Any]:
    options = (_resolve(schema, option) for option in node.get("oneOf", []))
    return next((one for one in options if one.get("properties", {}).get("type", {}).get("const") == name), {})
