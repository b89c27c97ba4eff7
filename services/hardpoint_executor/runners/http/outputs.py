"""Whether an output is what the action declares: values are compared, never converted."""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from hardpoint_kit.errors import ActionFailed
from hardpoint_manifest.model import Parameter


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_FITS: Mapping[str, Callable[[Any], bool]] = {
    "any": lambda _: True,
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "file": lambda value: isinstance(value, dict) and isinstance(value.get("id"), str),
}


def check_output(value: Any, outputs: tuple[Parameter, ...]) -> None:
    """Raise ActionFailed unless `value` has the declared outputs; with none declared, anything fits."""
    if not outputs:
        return
    if not isinstance(value, dict):
        _mismatch("outputs", "object", value)
    _check_members(value, outputs, "outputs")


def _check_members(value: Mapping[str, Any], members: tuple[Parameter, ...], place: str) -> None:
    for member in members:
        if member.name in value:
            _check(value[member.name], member, f"{place}.{member.name}")
        elif member.required:
            raise ActionFailed(
                f"the answer has no {member.name}, which is a required output",
                reason="MAPPING_MISSING",
                place=f"{place}.{member.name}",
                fix="map it in `response_mapping`, or declare it as not required",
                path=member.name,
            )


def _check(value: Any, parameter: Parameter, place: str) -> None:
    if not _FITS[parameter.type](value):
        _mismatch(place, parameter.type, value)
    if parameter.enum and value not in parameter.enum:
        _mismatch(place, f"one of {', '.join(map(str, parameter.enum))}", value)
    if parameter.properties and isinstance(value, dict):
        _check_members(value, parameter.properties, place)
    if parameter.items is not None and isinstance(value, list):
        for index, item in enumerate(value):
            _check(item, parameter.items, f"{place}[{index}]")


def _mismatch(place: str, wanted: str, value: Any) -> NoReturn:
    got = type_name(value)
    raise ActionFailed(
        f"{place} is declared as {wanted}, but the answer has {got}",
        reason="TYPE_MISMATCH",
        place=place,
        fix="correct the declared type, or convert it in `response_mapping`, e.g. double(data.temp)",
        wanted=wanted,
        got=got,
    )


def type_name(value: Any) -> str:
    """What a JSON value is called."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "integer", float: "number", dict: "object", list: "array"}
    return names[type(value)]
