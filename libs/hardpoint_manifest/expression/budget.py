"""What evaluating may cost. A value is never copied for being named again, so what a few steps make of a small input is
small in memory, and grows without end once it is written out, joined to a text, or handed to CEL.
"""

from collections.abc import Mapping
from typing import Any, Final

from hardpoint_manifest.expression.errors import ExpressionError

MOST_VALUES: Final = 1_000_000
MOST_CHARACTERS: Final = 32 * 1024 * 1024
"""Of what is made, and of what one value comes to when it is written out."""
MOST_READ_VALUES: Final = 10_000_000
MOST_READ_CHARACTERS: Final = 256 * 1024 * 1024
"""Of what CEL is given: it gets a copy for every evaluation, and a loop evaluates once for each item."""

_LONGEST_PLACE: Final = 200
_FLAT: Final = frozenset({int, float, bool, type(None)})


class Bound:
    """So many values and characters; a part that stands in a value twice counts twice."""

    __slots__ = ("_characters", "_values")

    def __init__(self, values: int = MOST_VALUES, characters: int = MOST_CHARACTERS) -> None:
        self._values = values
        self._characters = characters

    def take(self, value: Any, place: str = "") -> None:
        """Count a value; raises ExpressionError where that is too much, after no more steps than the bound has."""
        waiting = [value]
        self._values -= 1
        while waiting:
            part = waiting.pop()
            if isinstance(part, str):
                self._characters -= len(part)
            elif isinstance(part, list | tuple):
                self._values -= len(part)
                waiting += [inner for inner in part if type(inner) not in _FLAT]
            elif isinstance(part, dict | Mapping):
                self._values -= len(part)
                self._characters -= sum(map(len, part))
                waiting += [inner for inner in part.values() if type(inner) not in _FLAT]
            if self._values < 0 or self._characters < 0:
                raise ExpressionError(
                    "EXPRESSION_FAILED",
                    "too much would be made of what is there, or read over and over",
                    place[:_LONGEST_PLACE],
                    fix="filter first, name only what is needed, or use a code action",
                )


class Budget:
    """For what is evaluated together: one text, one structure, or all the steps of a walk.

    `read` bounds what CEL is given, `made` what is new, and `kept` what the outputs of steps come to.
    """

    __slots__ = ("kept", "made", "read")

    def __init__(self) -> None:
        self.read = Bound(MOST_READ_VALUES, MOST_READ_CHARACTERS)
        self.made = Bound()
        self.kept = Bound()
