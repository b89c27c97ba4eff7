"""What goes wrong with an expression, as one error with a reason that a program can tell apart."""

from typing import Literal, Self

Reason = Literal["EXPRESSION_INVALID", "NAME_UNDECLARED", "EXPRESSION_FAILED", "MAPPING_MISSING", "TYPE_MISMATCH"]
"""The first two are found when compiling, the others when evaluating."""


class ExpressionError(ValueError):
    """An expression cannot be compiled or evaluated; `place` is the path or the name that it is about.

    `offset` counts characters into the expression, from 0, where the text itself is at fault.
    """

    def __init__(self, reason: Reason, message: str, place: str = "", *, fix: str = "", offset: int = 0) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.place = place
        self.fix = fix
        self.offset = offset

    @classmethod
    def syntax(cls, text: str, offset: int, message: str) -> Self:
        """The text is no expression; the message names the place in it."""
        line = text.count("\n", 0, offset) + 1
        column = offset - (text.rfind("\n", 0, offset) + 1) + 1
        where = f"at character {column}" if line == 1 else f"at line {line}, character {column}"
        return cls("EXPRESSION_INVALID", f"{message} {where} of the expression", offset=offset)

    @classmethod
    def missing(cls, path: object) -> Self:
        """There is nothing at the path."""
        return cls("MAPPING_MISSING", f"{path} is missing", str(path))
