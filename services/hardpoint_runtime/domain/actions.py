"""Owns the name of an action as agents call it, and the check of its input."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from jsonschema import Draft202012Validator, ValidationError

from hardpoint_kit.errors import InvalidArgument
from hardpoint_manifest.authority import nearest
from hardpoint_manifest.names import PROTOTYPE_NAMES

MOST_VIOLATIONS = 20
_LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True, order=True)
class ActionName:
    """`{capability}.{action}`, what a model sees as the tool's name."""

    SHAPE: ClassVar = re.compile(r"([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\.([A-Za-z][A-Za-z0-9_-]{0,63})", re.ASCII)

    capability: str
    action: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name; raises InvalidArgument ACTION_NAME_INVALID for one that no action can have."""
        found = cls.SHAPE.fullmatch(text)
        if found is None or found[2] in PROTOTYPE_NAMES:
            raise InvalidArgument(
                {"action": f"{text[:_LONGEST_TEXT]!r} is not the name of an action"},
                reason="ACTION_NAME_INVALID",
                fix="write it as capability.action, as ListTools does",
                action=text[:_LONGEST_TEXT],
            )
        return cls(*found.groups())

    def __str__(self) -> str:
        return f"{self.capability}.{self.action}"


class InputCheck:
    """An action's input schema, compiled; `admit` is what every call's input passes through."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._validator = Draft202012Validator(dict(schema))
        declared = schema.get("properties", {})
        self._defaults = {name: inner["default"] for name, inner in declared.items() if "default" in inner}

    def admit(self, action: ActionName, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the input with the declared defaults of what is absent.

        Raises InvalidArgument INPUT_INVALID with every wrong field by path; texts hold no part of the input.
        """
        completed = {**self._defaults, **value}
        violations: dict[str, str] = {}
        for error in self._validator.iter_errors(completed):
            for path, problem in _violations(error):
                violations.setdefault(path, problem)
            if len(violations) >= MOST_VIOLATIONS:
                break
        if violations:
            raise InvalidArgument(
                violations, reason="INPUT_INVALID", fix=f"see the input schema of {action} in ListTools", action=action
            )
        return completed


def _violations(error: ValidationError) -> Iterator[tuple[str, str]]:
    path = "input" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    wanted: Any = error.validator_value
    given: Any = error.instance
    match error.validator:
        case "required":
            missing = [key for key in wanted if key not in given]
            yield from ((f"{path}.{key}", "is required") for key in missing)
        case "additionalProperties":
            known = list(error.schema.get("properties", ())) if isinstance(error.schema, Mapping) else []
            for key in [key for key in given if key not in known][:MOST_VIOLATIONS]:
                meant = nearest(key, known)
                hint = f"; did you mean {meant}?" if meant else f"; it takes {', '.join(known)}"
                yield f"{path}.{key[:_LONGEST_TEXT]}", f"is not an input{hint}"
        case "type":
            yield path, f"must be {wanted if isinstance(wanted, str) else ' or '.join(wanted)}"
        case "enum":
            yield path, f"must be one of {', '.join(map(repr, wanted))}"[:_LONGEST_TEXT]
        case rule:
            yield path, f"must satisfy {rule} {wanted!r}"[:_LONGEST_TEXT]
