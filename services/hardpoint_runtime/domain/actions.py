"""Owns the name of an action as agents call it, and the check of its input."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from hardpoint_kit.errors import InvalidArgument
from hardpoint_manifest.inputs import InputSchema
from hardpoint_manifest.names import PROTOTYPE_NAMES

_LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True, order=True)
class ActionName:
    """`{prefix}.{action}`, what a model sees as the tool's name.

    The prefix is a capability's id, or the id of an installation that has it as a name of its own.
    """

    SHAPE: ClassVar = re.compile(r"([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\.([A-Za-z][A-Za-z0-9_-]{0,63})", re.ASCII)

    prefix: str
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
        return f"{self.prefix}.{self.action}"


class InputCheck:
    """An action's input schema, compiled; `admit` is what every call's input passes through."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = InputSchema(schema)

    def admit(self, action: ActionName, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the input with the declared defaults of what is absent.

        Raises InvalidArgument INPUT_INVALID with every wrong field by path; texts hold no part of the input.
        """
        completed = self._schema.completed(value)
        if violations := self._schema.violations(completed):
            raise InvalidArgument(
                violations, reason="INPUT_INVALID", fix=f"see the input schema of {action} in ListTools", action=action
            )
        return completed
