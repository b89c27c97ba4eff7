"""The names that a manifest gives to things, and which of them are refused.

A name travels into tables of other languages (a JavaScript object, a CEL scope), so names that mean something there
are refused here, once.
"""

import re
from collections.abc import Callable
from typing import Annotated, Final

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

PROTOTYPE_NAMES: Final = frozenset(
    {
        "__proto__",
        "__defineGetter__",
        "__defineSetter__",
        "__lookupGetter__",
        "__lookupSetter__",
        "constructor",
        "hasOwnProperty",
        "isPrototypeOf",
        "propertyIsEnumerable",
        "prototype",
        "toLocaleString",
        "toString",
        "valueOf",
    }
)
"""Names that every JavaScript object already has: looking one up finds a function that nobody declared."""

SCOPE_NAMES: Final = frozenset({"input", "data", "status", "headers", "file", "trigger"})
"""Variables that expressions already have, so no setting and no step may take them."""

CEL_WORDS: Final = frozenset(
    {"as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop"}
    | {"namespace", "null", "package", "return", "true", "var", "void", "while"}
)

_CAPABILITY = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
_ACTION = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
_PARAMETER = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"
_REQUIREMENT = r"^[A-Za-z][A-Za-z0-9_]{0,63}$"


def _name(pattern: str, taken: frozenset[str], advice: str) -> tuple[AfterValidator, WithJsonSchema]:
    expression = re.compile(pattern)

    def check(text: str) -> str:
        if text in taken:
            raise PydanticCustomError("reserved_name", "{name} already means something else", {"name": repr(text)})
        if expression.fullmatch(text) is None:
            raise PydanticCustomError(
                "invalid_name", "{name} is not a name: {advice}", {"name": repr(text[:64]), "advice": advice}
            )
        return text

    checked: Callable[[str], str] = check
    return AfterValidator(checked), WithJsonSchema({"type": "string", "pattern": pattern})


CapabilityId = Annotated[
    str, *_name(_CAPABILITY, frozenset(), "use lower-case letters, digits and single words joined by hyphens")
]
ActionId = Annotated[
    str, *_name(_ACTION, PROTOTYPE_NAMES, "start with a letter; then letters, digits, hyphen or underscore, 64 at most")
]
ParameterName = Annotated[
    str, *_name(_PARAMETER, PROTOTYPE_NAMES, "start with a letter; then letters, digits, hyphen or underscore")
]
RequirementKey = Annotated[
    str,
    *_name(
        _REQUIREMENT, PROTOTYPE_NAMES | SCOPE_NAMES | CEL_WORDS, "start with a letter; then letters, digits, underscore"
    ),
]
