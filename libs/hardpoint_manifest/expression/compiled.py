"""Compiled expressions: CEL, bounded in cost, with errors that name the path that is missing.

An expression that is only a path is walked in Python: the same meaning as in CEL, without converting the whole
document for it, and whole numbers of any size stay as they are. Everything else is CEL (`cel_expr_python`), whose
evaluation errors come back as values.
"""

import datetime
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from cel_expr_python import cel  # type: ignore[import-untyped]

from hardpoint_manifest.authority import nearest
from hardpoint_manifest.expression.budget import Budget
from hardpoint_manifest.expression.errors import ExpressionError
from hardpoint_manifest.expression.scope import Scope
from hardpoint_manifest.expression.tokens import MemberPath, Source, read

MAX_RESULT_PARTS: Final = 20_000
MAX_RESULT_CHARACTERS: Final = 8 * 1024 * 1024
MAX_RESULT_DEPTH: Final = 64
MAX_WORK_VALUES: Final = 10_000_000
MAX_WORK_CHARACTERS: Final = 16 * 1024 * 1024
MAX_LOOP_VALUES: Final = (0, 1000, 100)
"""How many values a loop may go over, by how deep loops stand in each other."""

_CEL_TYPES: Final[Mapping[str, cel.Type]] = {
    "string": cel.Type.STRING,
    "integer": cel.Type.INT,
    "boolean": cel.Type.BOOL,
    "array": cel.Type.List(cel.Type.DYN),
    "object": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    "file": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
}
_RESULT_TYPES: Final[Mapping[str, str]] = {
    "STRING": "string",
    "INT": "integer",
    "UINT": "integer",
    "DOUBLE": "number",
    "BOOL": "boolean",
    "NULL": "null",
}
_TYPE_NAMES: Final = frozenset({"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"})
_HAS: Final = re.compile(r"\bhas\s*\(")
_ABSENT: Final = object()
_Needs = dict[str, Any]
"""Which members an expression reads, as a tree; an empty branch stands for the whole value."""


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression, ready to be evaluated any number of times."""

    text: str
    source: Source
    result_type: str
    """The parameter type of the result as far as it is known beforehand, else `any`."""
    optional: bool
    """Whether it is the path of a value that need not be given."""
    _program: cel.Expression | None
    _needs: "_Needs"

    def evaluate(self, variables: Mapping[str, Any], budget: Budget | None = None) -> Any:
        """The value, as JSON data; raises ExpressionError for a missing path, an operation that fails, too much.

        Alone it is bounded by itself; a `budget` bounds it together with others.
        """
        if self._program is None:
            return _walk(self.source.whole, variables)
        used = _pick(self._needs, variables)
        if budget is not None:
            budget.read.take(used, self.text)
        if self.source.cost.nesting or self.source.cost.additions:
            iterations, longest_text = self._check_cost(used)
            if budget is not None and self.source.cost.nesting:
                budget.looped.spend(iterations, longest_text * iterations, self.text)
        try:
            value = self._program.eval(data=used)
        except RuntimeError as error:
            raise ExpressionError("EXPRESSION_FAILED", _reason(str(error)), self.text) from None
        if value.type() == cel.Type.ERROR:
            raise self._failure(str(value.value()), variables)
        result = _Result(self.text).plain(value)
        if budget is not None:
            budget.made.take(result, self.text)
        return result

    def is_absent(self, variables: Mapping[str, Any]) -> bool:
        """Whether this is the path of an optional value that was not given."""
        return self.optional and _find(self.source.whole, variables) is _ABSENT

    def _failure(self, text: str, variables: Mapping[str, Any]) -> ExpressionError:
        if "No matching overloads" in text:
            return ExpressionError(
                "TYPE_MISMATCH",
                _reason(text),
                self.text,
                fix="convert one side: double(x), int(x) or string(x)",
            )
        if "Key not found" in text or "Index error" in text or "SELECT" in text or "No value with name" in text:
            missing = next((path for path in self.source.paths if _find(path, variables) is _ABSENT), None)
            # A key that is not in the expression came from the values, which may be private.
            key = re.search(r'Key not found in map : "(.*)"', text)
            named = f"{key[1]} in {self.text}" if key and key[1] in self.text else f"a value in {self.text}"
            return ExpressionError.missing(missing or named)
        # CEL quotes the number, which may be private; the place says enough.
        reason = "a whole number is too large to calculate with" if "out of range" in text else _reason(text)
        return ExpressionError("EXPRESSION_FAILED", reason, self.text)

    def _check_cost(self, variables: Mapping[str, Any]) -> tuple[int, int]:
        """Refuse what would take far more time or memory than the values themselves; iterations, and longest text.

        CEL bounds the number of iterations, but it copies the list that a loop builds in each of them, and does not
        bound what one iteration adds up.
        """
        cost = self.source.cost
        longest_list = longest_text = 1
        for part in _parts(variables):
            if isinstance(part, str):
                longest_text = max(longest_text, len(part))
            else:
                longest_list = max(longest_list, len(part))
        values, most = longest_list * (cost.range_additions + 1), MAX_LOOP_VALUES[cost.nesting]
        if cost.nesting and values > most:
            message = f"a loop over up to {values} values; at most {most} are possible here"
            raise ExpressionError("EXPRESSION_FAILED", message, self.text, fix="use a code action")
        iterations = longest_list**cost.nesting
        growth = (cost.additions + 1) ** (cost.nesting + 2) if cost.additions else 1
        joined_values = longest_list * (cost.additions + 1) * iterations
        if longest_text * growth * iterations > MAX_WORK_CHARACTERS or joined_values > MAX_WORK_VALUES:
            message = "the values are too large to be joined or looped over"
            raise ExpressionError("EXPRESSION_FAILED", message, self.text, fix="use a code action")
        return iterations, longest_text


def compile(text: str, scope: Scope) -> Expression:
    """Compile an expression; raises ExpressionError with the position in it."""
    source = read(text, scope.aliases)
    for path in source.paths:
        if path.root in scope.types or path.parts or path.root not in _TYPE_NAMES:
            _check_declared(path, scope)
    source = replace(source, paths=tuple(path for path in source.paths if path.root in scope.types))
    typed = {name: kind for name, kind in scope.types.items() if _is_plain(name)}
    if _HAS.search(source.cel):  # whether a member is there cannot be asked of a variable called `input.city`
        typed = {name: kind for name, kind in typed.items() if "." not in name}
    try:
        checked = _environment(frozenset(typed.items())).compile(source.cel)
        # With types declared, CEL wants a variable called `input.city`; without, it takes `city` out of `input`.
        roots = frozenset((name.partition(".")[0], "any") for name in typed)
        program = None if source.whole else _environment(roots).compile(source.cel)
    except RuntimeError as error:
        raise _compile_error(text, str(error)) from None
    whole = source.whole
    dotted = _dotted(whole) if whole else ""
    result_type = scope.types.get(dotted, "any") if whole else _RESULT_TYPES.get(checked.return_type().name(), "any")
    return Expression(text, source, result_type, dotted in scope.optional, program, _needs(source.paths))


@lru_cache(maxsize=256)
def _environment(types: frozenset[tuple[str, str]]) -> cel.Env:
    """The environment with these variables; building one costs far more than compiling in it."""
    return cel.NewEnv(variables={name: _CEL_TYPES.get(kind, cel.Type.DYN) for name, kind in types})


def _check_declared(path: MemberPath, scope: Scope) -> None:
    if path.root not in scope.types:
        raise _undeclared("", path.root, {*scope.types, *scope.aliases}, path)
    name = path.root
    for part in path.parts:
        member = f"{name}.{part}"
        if name in scope.closed and member not in scope.types:
            prefix = f"{name}."
            known = {other.removeprefix(prefix) for other in scope.types if other.startswith(prefix)}
            raise _undeclared(prefix, str(part), known, path)
        name = member


def _undeclared(prefix: str, name: str, known: set[str], path: MemberPath) -> ExpressionError:
    close = nearest(name, sorted(known))
    fix = f"did you mean {prefix}{close}?" if close else ""
    place = str(path) if prefix else name
    return ExpressionError("NAME_UNDECLARED", f"{prefix}{name} is not declared", place, fix=fix, offset=path.start)


def _is_plain(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _dotted(path: MemberPath) -> str:
    return ".".join([path.root, *map(str, path.parts)])


def _walk(path: MemberPath | None, variables: Mapping[str, Any]) -> Any:
    value = _find(path, variables)
    if value is _ABSENT:
        raise ExpressionError.missing(path)
    return value


def _needs(paths: tuple[MemberPath, ...]) -> _Needs:
    names = {(path.root, *itertools.takewhile(lambda part: isinstance(part, str), path.parts)) for path in paths}
    tree: _Needs = {}
    for name in names:
        if not any(name[:length] in names for length in range(1, len(name))):
            branch = tree
            for part in name:
                branch = branch.setdefault(str(part), {})
    return tree


def _pick(needs: _Needs, value: Mapping[str, Any]) -> dict[str, Any]:
    """Only what is read: converting a large response to CEL costs more than evaluating."""
    return {
        name: _pick(branch, value[name]) if branch and isinstance(value[name], Mapping) else value[name]
        for name, branch in needs.items()
        if name in value
    }


def _find(path: MemberPath | None, variables: Mapping[str, Any]) -> Any:
    if path is None:
        return _ABSENT
    value: Any = variables.get(path.root, _ABSENT)
    for part in path.parts:
        if isinstance(part, str):
            value = value.get(part, _ABSENT) if isinstance(value, Mapping) else _ABSENT
        else:
            value = value[part] if isinstance(value, list | tuple) and part < len(value) else _ABSENT
    return value


def _parts(value: Any) -> Iterator[str | Sequence[Any] | Mapping[str, Any]]:
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping):
            waiting.extend(part.values())
            yield part
        elif isinstance(part, list | tuple):
            waiting.extend(part)
            yield part
        elif isinstance(part, str):
            yield part


def _reason(text: str) -> str:
    """What CEL says, without its code words around it."""
    return re.sub(r"^[A-Z_]+: |\s*\[[A-Z_]+\]\s*$", "", text.split("\n", 1)[0])[:200]


def _compile_error(text: str, said: str) -> ExpressionError:
    match = re.search(r"ERROR: <input>:(\d+):(\d+): (.*)", said)
    if match is None:
        reason = "too many operations inside each other" if "recursion" in said else _reason(said)
        return ExpressionError("EXPRESSION_INVALID", reason, fix="split the expression, or use a code action")
    line, column, message = int(match[1]), int(match[2]), match[3]
    offset = sum(len(one) + 1 for one in text.split("\n")[: line - 1]) + column - 1
    if operation := re.search(r"no matching overload for '(.+?)' applied to '(.*)'", message):
        operator = operation[1].strip("_").replace("_", " ").strip() or operation[1]
        error = ExpressionError.syntax(text, offset, f"{operator!r} does not work on {operation[2]}")
        return ExpressionError("TYPE_MISMATCH", error.message, text, offset=offset)
    if undeclared := re.search(r"undeclared reference to '(.*?)'", message):
        return ExpressionError("NAME_UNDECLARED", f"{undeclared[1]} is not declared", undeclared[1], offset=offset)
    message = re.sub(r"^Syntax error: ", "", message)
    message = re.sub(r"mismatched input '<EOF>'.*", "the expression ends too early", message)
    message = re.sub(r"(?:mismatched|extraneous) input '(.*?)' expecting.*", r"unexpected '\1'", message)
    message = re.sub(r"no viable alternative at input '(.*?)'", r"unexpected '\1'", message)
    return ExpressionError.syntax(text, min(offset, len(text)), message[:200])


class _Result:
    """Turns a CEL value into JSON data, within bounds: a value that occurs often is copied often."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.parts = 0
        self.characters = 0

    def plain(self, value: cel.Value, depth: int = 0) -> Any:
        """The value as JSON data; raises ExpressionError when it is none or too large."""
        self.parts += 1
        content = value.value()
        if isinstance(content, str):
            self.characters += len(content)
        if self.parts > MAX_RESULT_PARTS or self.characters > MAX_RESULT_CHARACTERS or depth > MAX_RESULT_DEPTH:
            raise ExpressionError("EXPRESSION_FAILED", "the result is too large", self.text)
        if isinstance(content, float) and not math.isfinite(content):
            raise ExpressionError("EXPRESSION_FAILED", "the result is no finite number", self.text)
        if content is None or isinstance(content, bool | int | float | str):
            return content
        if isinstance(content, list):
            return [self.plain(part, depth + 1) for part in content]
        if isinstance(content, dict) and all(isinstance(key, str) for key in content):
            return {key: self.plain(part, depth + 1) for key, part in content.items()}
        if isinstance(content, datetime.datetime):
            return content.isoformat().replace("+00:00", "Z")
        raise ExpressionError("EXPRESSION_FAILED", "the result is no JSON value", self.text)
