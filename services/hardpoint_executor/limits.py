"""Owns limits.toml, the numbers that bound executions, their jails and the broker; it is read once, and calls no one.

Whoever applies a number asks for it by its name while it is imported, so a file that lacks one ends the start.
"""

import math
import tomllib
from pathlib import Path
from typing import Any, Final

from hardpoint_kit.errors import InvalidArgument

_BYTES: Final = {"kib": 1024, "mib": 1024 * 1024}


class Numbers:
    """The numbers of a TOML file of tables, by names such as "broker.call_seconds", whose ends are their units."""

    def __init__(self, file: Path) -> None:
        """Read the file; raises InvalidArgument for one that is not a file of such tables."""
        self._file = file
        try:
            tables = tomllib.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise InvalidArgument(
                f"the limits cannot be read: {error}", place=str(file), fix="install Hardpoint again"
            ) from error
        self._numbers: dict[str, Any] = {}
        for table, numbers in tables.items():
            if not isinstance(numbers, dict):
                raise self._wrong(table, "it stands in no table", "move it below the [table] that it belongs to")
            self._numbers |= {f"{table}.{key}": number for key, number in numbers.items()}
        self._unread = set(self._numbers)

    def whole(self, name: str) -> int:
        """A count, or bytes where the name ends in `_kib` or `_mib`; raises InvalidArgument for anything else."""
        number = self._number(name)
        if not isinstance(number, int):
            raise self._wrong(name, f"{number!r} is no whole number", "give it without a point")
        return number * _BYTES.get(name.rpartition("_")[2], 1)

    def seconds(self, name: str) -> float:
        """Seconds; raises InvalidArgument for anything else."""
        return float(self._number(name))

    def check_all_read(self) -> None:
        """Refuse a number that nobody has asked for: to change it would change nothing. Raises InvalidArgument."""
        for name in sorted(self._unread):
            raise self._wrong(name, "nothing reads it", "spell it as the code does, or take it out")

    def _number(self, name: str) -> int | float:
        self._unread.discard(name)
        if name not in self._numbers:
            raise self._wrong(name, "it is missing", "write it, or install Hardpoint again")
        number = self._numbers[name]
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number) or number < 0:
            raise self._wrong(name, f"{number!r} is no number from 0 up", "write one, without its unit")
        return number

    def _wrong(self, name: str, what: str, fix: str) -> InvalidArgument:
        return InvalidArgument(f"{name}: {what}", place=str(self._file), fix=fix)


FILE: Final = Path(__file__).with_suffix(".toml")
_numbers = Numbers(FILE)
whole, seconds, check_all_read = _numbers.whole, _numbers.seconds, _numbers.check_all_read
