"""Whether a value that will be made fits a parameter, and what to say where it does not."""

from collections.abc import Iterator
from typing import Any

from hardpoint_manifest.authority import nearest
from hardpoint_manifest.finding import Path
from hardpoint_manifest.known import Known
from hardpoint_manifest.model import Parameter

Misfit = tuple[Path, str, str]
"""Where in the value, what is wrong, and what to do."""


def misfits(value: Any, known: Known, wanted: Parameter, whose: str, path: Path = ()) -> Iterator[Misfit]:
    """What of a value does not fit; `value` is as it is written, templates and all, or None where it is not."""
    if not known.fits(Known.parameter(wanted)):
        yield path, f"{_said(value)} is {known.type}, and `{wanted.name}` of {whose} wants {wanted.type}", "convert it"
        return
    literal = isinstance(value, bool | int | float) or (
        isinstance(value, str) and "${" not in value and "{{" not in value
    )
    if wanted.enum and literal and value not in wanted.enum:
        choices = ", ".join(map(str, wanted.enum))
        close = nearest(str(value), [str(one) for one in wanted.enum])
        fix = f"did you mean {close}?" if close else ""
        yield path, f"`{wanted.name}` of {whose} is {str(value)[:64]!r}; it can be {choices}", fix
    if known.type == "object" and known.closed:
        yield from _members(value if isinstance(value, dict) else {}, known, wanted.properties, whose, path)
    if wanted.items is not None and isinstance(value, list):
        for index, part in enumerate(value):
            literal_part = Known.literal(part)
            if not isinstance(part, str | dict | list) and not literal_part.fits(Known.parameter(wanted.items)):
                message = (
                    f"item {index + 1} is {literal_part.type}, and `{wanted.name}` of {whose} wants {wanted.items.type}"
                )
                yield (*path, index), message, "convert it"


def _members(
    value: dict[str, Any], known: Known, wanted: tuple[Parameter, ...], whose: str, path: Path
) -> Iterator[Misfit]:
    """Members of an object whose members are all known, where it is known what they should be."""
    names = {parameter.name for parameter in wanted}
    if not wanted:
        return
    for name in known.members:
        if name not in names:
            close = nearest(name, names)
            fix = f"did you mean {close}?" if close else f"it takes {', '.join(sorted(names))}"
            yield (*path, name) if name in value else path, f"{whose} takes no `{name[:64]}`", fix
    for parameter in wanted:
        member = known.members.get(parameter.name)
        if member is not None:
            where = (*path, parameter.name) if parameter.name in value else path
            yield from misfits(value.get(parameter.name), member, parameter, whose, where)
        elif parameter.required and parameter.default is None:
            yield path, f"{whose} needs `{parameter.name}`", f"add `{parameter.name}`"


def _said(value: Any) -> str:
    text = str(value) if isinstance(value, str | int | float | bool) else "what is given"
    inside = text[2:-1] if text.startswith("${") and text.count("${") == 1 and text.endswith("}") else text
    return inside[:80]
