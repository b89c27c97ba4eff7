"""Owns the check of an action's input and output against their schemas: what is wrong by field, and no part of it."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from jsonschema import Draft202012Validator, ValidationError

from hardpoint_manifest.authority import nearest

MOST_VIOLATIONS: Final = 20
_LONGEST_TEXT: Final = 200


class InputSchema:
    """An input's schema, compiled."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._validator = Draft202012Validator(dict(schema))
        declared = schema.get("properties", {})
        self._defaults = {name: inner["default"] for name, inner in declared.items() if "default" in inner}

    def completed(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """The input with the declared defaults of what is absent."""
        return {**self._defaults, **value}

    def violations(self, value: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with a completed input, by path; empty when it fits."""
        return _found(self._validator, value, "input")


def output_violations(schema: Mapping[str, Any], value: Any) -> dict[str, str]:
    """What is wrong with an output, by path; empty when it fits."""
    return _found(Draft202012Validator(dict(schema)), value, "output")


def _found(validator: Draft202012Validator, value: Any, root: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for error in validator.iter_errors(value):
        for path, problem in _violations(error, root):
            found.setdefault(path, problem)
        if len(found) >= MOST_VIOLATIONS:
            break
    return found


def _violations(error: ValidationError, root: str) -> Iterator[tuple[str, str]]:
    path = root + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
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
                yield f"{path}.{key[:_LONGEST_TEXT]}", f"is not an {root}{hint}"
        case "type":
            yield path, f"must be {wanted if isinstance(wanted, str) else ' or '.join(wanted)}"
        case "enum":
            yield path, f"must be one of {', '.join(map(repr, wanted))}"[:_LONGEST_TEXT]
        case rule:
            yield path, f"must satisfy {rule} {wanted!r}"[:_LONGEST_TEXT]
