"""What evaluating may cost. A value is never copied for being named again, so what a few steps make of a small input is
small in memory, and grows without end once it is written out, joined to a text, or handed to CEL.
"""

from collections.abc import Mapping
from typing import Any, Final, Self

from hardpoint_manifest.expression.errors import ExpressionError

MOST_VALUES: Final = 1_000_000
MOST_CHARACTERS: Final = 32 * 1024 * 1024
"""Of what is made, and of what one value comes to when it is written out."""
MOST_READ_VALUES: Final = 10_000_000
MOST_READ_CHARACTERS: Final = 256 * 1024 * 1024
"""Of what CEL is given, and who is called: they get a copy each time, and a loop does it once for each item."""
MOST_LOOPED_VALUES: Final = 10_000_000
MOST_LOOPED_CHARACTERS: Final = 256 * 1024 * 1024
"""Of what loops in expressions go over: each time they may read a text to its end."""

_LONGEST_PLACE: Final = 200
_FLAT: Final = frozenset({int, float, bool, type(None)})


class Bound:
    """So many values and characters; a part that stands in a value twice counts twice."""

    __slots__ = ("characters", "values")

    def __init__(self, values: int = MOST_VALUES, characters: int = MOST_CHARACTERS) -> None:
        self.values = values
        self.characters = characters

    @property
    def spent(self) -> bool:
        """Whether something was too much for it."""
        return self.values < 0 or self.characters < 0

    def take(self, value: Any, place: str = "") -> None:
        """Count a value; raises ExpressionError where that is too much, after no more steps than the bound has."""
        waiting = [value]
        self.values -= 1
        while waiting:
            part = waiting.pop()
            if isinstance(part, str):
                self.characters -= len(part)
            elif isinstance(part, list | tuple):
                self.values -= len(part)
                waiting += [inner for inner in part if type(inner) not in _FLAT]
            elif isinstance(part, dict | Mapping):
                self.values -= len(part)
                self.characters -= sum(map(len, part))
                waiting += [inner for inner in part.values() if type(inner) not in _FLAT]
            if self.values < 0 or self.characters < 0:
                raise _too_much(place)

    def spend(self, values: int, characters: int, place: str = "") -> None:
        """Count what was counted already; raises ExpressionError where that is too much."""
        self.values -= values
        self.characters -= characters
        if self.spent:
            raise _too_much(place)


class Budget:
    """For what is evaluated together: one text, one structure, or all the steps of a walk.

    `read` bounds what CEL is given and what is written out, `looped` what its loops go over, `made` what is new, and
    `kept` what the outputs of steps come to.
    """

    __slots__ = ("kept", "looped", "made", "read")

    def __init__(self) -> None:
        self.read = Bound(MOST_READ_VALUES, MOST_READ_CHARACTERS)
        self.looped = Bound(MOST_LOOPED_VALUES, MOST_LOOPED_CHARACTERS)
        self.made = Bound()
        self.kept = Bound()

    @classmethod
    def one_of(cls, parts: int) -> Self:
        """One of so many equal parts of a budget."""
        budget = cls()
        for bound in (budget.read, budget.looped, budget.made, budget.kept):
            bound.values //= parts
            bound.characters //= parts
        return budget

    @property
    def spent(self) -> bool:
        """Whether something was too much for it, and nothing more can be evaluated."""
        return self.read.spent or self.looped.spent or self.made.spent or self.kept.spent

    def write_out(self, value: Any, place: str = "") -> None:
        """Count a value that is written out; raises ExpressionError also for one that is too large by itself.

        What was gone through counts then too: otherwise a step that may fail would cost nothing, however often.
        """
        alone = Bound()
        try:
            alone.take(value, place)
        finally:
            self.read.spend(MOST_VALUES - alone.values, MOST_CHARACTERS - alone.characters, place)


def _too_much(place: str) -> ExpressionError:
    return ExpressionError(
        "EXPRESSION_FAILED",
        "too much would be made of what is there, or read over and over",
        place[:_LONGEST_PLACE],
        fix="filter first, name only what is needed, or use a code action",
    )
