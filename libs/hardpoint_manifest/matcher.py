"""Matchers: expected outputs that say what must hold instead of one exact value.

`{$type: number}`, `{$range: [-60, 60]}`, `{$regex: "^S"}`, `{$near: [3.14, 0.01]}` (a number that far away at most) and
`{$subset: {...}}` (an object with at least these members) may stand wherever a value may.
"""

from collections.abc import Iterator
from typing import Any, Final

from hardpoint_manifest.expression import ExpressionError, Scope, compile
from hardpoint_manifest.finding import Path, path_text

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}
# RE2, through CEL: linear in the length of the text, whatever pattern an author writes.
_REGEX = compile("text.matches(pattern)", Scope.of("text", "pattern"))


def is_matcher(value: Any) -> bool:
    """Whether the value is a matcher."""
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)).startswith("$")


def has_matcher(value: Any) -> bool:
    """Whether a matcher stands anywhere in the value."""
    if is_matcher(value):
        return True
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(has_matcher(part) for part in parts)


def type_matcher(value: Any) -> Any:
    """The expected value with every literal replaced by a matcher of its type."""
    if isinstance(value, dict) and not is_matcher(value):
        return {key: type_matcher(part) for key, part in value.items()}
    if isinstance(value, list):
        return {"$type": "array"}
    kind = "boolean" if isinstance(value, bool) else "number" if isinstance(value, int | float) else "string"
    return value if value is None or is_matcher(value) else {"$type": kind}


def differences(expected: Any, actual: Any, path: Path = ()) -> tuple[str, ...]:
    """How the actual value at a path differs from what is expected, one sentence each; empty when it matches."""
    return tuple(_differences(expected, actual, path))


def _differences(expected: Any, actual: Any, path: Path) -> Iterator[str]:
    where = path_text(path) or "the output"
    if is_matcher(expected):
        ((name, argument),) = expected.items()
        if name == "$subset" and isinstance(argument, dict) and isinstance(actual, dict):
            yield from _differences(argument, {key: actual[key] for key in argument if key in actual}, path)
        elif not _matches(name, argument, actual):
            yield f"{where} is {actual!r}, which does not match {name}: {argument}"
    elif isinstance(expected, dict) and isinstance(actual, dict):
        for key in expected:
            if key in actual:
                yield from _differences(expected[key], actual[key], (*path, key))
            else:
                yield f"{path_text((*path, key))} is missing"
        for key in actual:
            if key not in expected:
                yield f"{path_text((*path, key))} is not expected"
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for index, pair in enumerate(zip(expected, actual, strict=True)):
            yield from _differences(*pair, (*path, index))
    elif expected != actual or isinstance(expected, bool) != isinstance(actual, bool):
        yield f"{where} is {actual!r}, not {expected!r}"


def _matches(name: str, argument: Any, actual: Any) -> bool:
    number = isinstance(actual, int | float) and not isinstance(actual, bool)
    if name == "$type" and isinstance(argument, str):
        return isinstance(actual, _TYPES.get(argument, ())) and (argument == "boolean" or not isinstance(actual, bool))
    if name == "$range" and _is_range(argument):
        return number and bool(argument[0] <= actual <= argument[1])
    if name == "$near" and _is_range(argument):
        return number and abs(actual - argument[0]) <= argument[1]
    if name == "$regex" and isinstance(argument, str) and isinstance(actual, str):
        try:
            return bool(_REGEX.evaluate({"text": actual, "pattern": argument}))
        except ExpressionError:
            return False
    return False


def invalid_matchers(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every matcher in the value that can match nothing, with the reason."""
    if is_matcher(value):
        ((name, argument),) = value.items()
        if name == "$type" and isinstance(argument, str) and argument in _TYPES:
            return
        if name in ("$range", "$near") and _is_range(argument):
            return
        if name == "$subset" and isinstance(argument, dict):
            yield from invalid_matchers(argument, (*path, name))
            return
        if name == "$regex" and isinstance(argument, str):
            try:
                _REGEX.evaluate({"text": "", "pattern": argument})
            except ExpressionError as error:
                yield path, error.message
            return
        known = "$type: number, $range: [0, 10], $near: [3.14, 0.01], $subset: {} or $regex: '^a'"
        yield path, f"{name} is no matcher: write {known}"
    elif isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from invalid_matchers(part, (*path, key))


def _is_range(argument: Any) -> bool:
    return isinstance(argument, list) and len(argument) == 2 and all(isinstance(end, int | float) for end in argument)
