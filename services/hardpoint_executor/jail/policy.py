"""Owns the reading of a .policy file: the part of kafel, nsjail's filter language, that Hardpoint's policies use.

nsjail compiles the same files itself. Slots cannot let it: their children are cloned after nsjail has done its work,
and no filter compiler is in a jail. What is not understood here is refused, so that a policy never means two things.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent
_TOKEN = re.compile(r"\s*(0x[0-9A-Fa-f]+|\d+|\w+|==|&&|\|\||[{}(),&|])")
_DEFINE = re.compile(r"^#define\s+(\w+)\s+(\w+)\s*$", re.MULTILINE)


class PolicyError(Exception):
    """A policy is not written in the part of the language that is understood here."""


@dataclass(frozen=True, slots=True)
class Action:
    """What becomes of a system call: `ALLOW`, `KILL_PROCESS`, or `ERRNO` with the number that the caller gets."""

    name: str
    errno: int = 0


_EPERM = Action("ERRNO", 1)


@dataclass(frozen=True, slots=True)
class Comparison:
    """True when `argument & mask == value`, all of them 64 bits wide; arguments count from 0."""

    argument: int
    mask: int
    value: int


Condition = tuple[tuple[Comparison, ...], ...]
"""True when all comparisons of any of its parts are; an empty condition is always true."""


@dataclass(frozen=True, slots=True)
class Policy:
    """An action for system calls by number, each under a condition, and one for all others and what does not fit."""

    rules: Mapping[int, tuple[Action, Condition]]
    default: Action

    @property
    def forbidden(self) -> frozenset[int]:
        """The calls that it kills under every condition."""
        return frozenset(number for number, rule in self.rules.items() if rule == (Action("KILL_PROCESS"), ()))

    @property
    def refused(self) -> frozenset[int]:
        """The calls that it names to refuse them, and `clone`, by which libc forks, where that is for threads alone."""
        by_name = {number for number, rule in self.rules.items() if rule == (_EPERM, ())}
        return frozenset(by_name | {_numbers()["clone"][0]} & self.rules.keys())


def read_policy(path: Path, without: frozenset[str] = frozenset()) -> Policy:
    """Read a policy, with some calls taken out of it: they meet the default. Raises PolicyError."""
    text = re.sub(r"//.*", "", path.read_text())
    defined = dict(_DEFINE.findall(text))
    parser = _Parser(_tokens(_DEFINE.sub("", text), defined), _numbers(), without)
    try:
        return parser.policy()
    except (PolicyError, IndexError, ValueError) as error:
        raise PolicyError(f"{path.name}: {error}") from error


def name_of(number: int) -> str:
    """Return a system call's name; policies name every one that is forbidden or refused."""
    return _names()[number]


@functools.cache
def _names() -> dict[int, str]:
    return {number: name for name, (number, _) in _numbers().items()}


@functools.cache
def _numbers() -> dict[str, tuple[int, list[str]]]:
    """System calls by name: their number and the names of their arguments."""
    lines = (_HERE / "x86_64.syscalls").read_text().splitlines()
    return {name: (int(number), arguments) for number, name, *arguments in map(str.split, lines) if number != "#"}


def _tokens(text: str, defined: Mapping[str, str]) -> list[str]:
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise PolicyError(f"cannot read {text[at : at + 20]!r}")
        tokens.append(defined.get(found[1], found[1]))
        at = found.end()
    return tokens


class _Parser:
    def __init__(
        self, tokens: list[str], numbers: Mapping[str, tuple[int, list[str]]], without: frozenset[str]
    ) -> None:
        self._tokens = tokens
        self._numbers = numbers
        self._without = without
        self._rules: dict[int, tuple[Action, Condition]] = {}

    def policy(self) -> Policy:
        self._expect("POLICY")
        name = self._next()
        self._expect("{")
        while not self._accept("}"):
            self._block(self._action())
            self._accept(",")
        for word in ("USE", name, "DEFAULT"):
            self._expect(word)
        policy = Policy(self._rules, self._action())
        if self._tokens:
            raise PolicyError(f"unexpected {self._tokens[0]!r}")
        return policy

    def _action(self) -> Action:
        name = self._next()
        if name == "ERRNO":
            self._expect("(")
            errno = int(self._next(), 0)
            self._expect(")")
            return Action(name, errno)
        if name not in ("ALLOW", "KILL_PROCESS"):
            raise PolicyError(f"no action {name!r}")
        return Action(name)

    def _block(self, action: Action) -> None:
        self._expect("{")
        while not self._accept("}"):
            name = self._next()
            if name not in self._numbers:
                raise PolicyError(f"no system call {name!r} in x86_64.syscalls")
            number, arguments = self._numbers[name]
            condition = self._condition(arguments) if self._accept("{") else ()
            if number in self._rules:
                raise PolicyError(f"{name} is named twice")
            if name not in self._without:
                self._rules[number] = action, condition
            self._accept(",")

    def _condition(self, arguments: list[str]) -> Condition:
        parts, part = [], [self._comparison(arguments)]
        while not self._accept("}"):
            if self._accept("||"):
                parts.append(tuple(part))
                part = []
            else:
                self._expect("&&")
            part.append(self._comparison(arguments))
        return (*parts, tuple(part))

    def _comparison(self, arguments: list[str]) -> Comparison:
        mask = 2**64 - 1
        masked = self._accept("(")
        argument = arguments.index(self._next())
        if masked:
            self._expect("&")
            mask = int(self._next(), 0)
            self._expect(")")
        self._expect("==")
        return Comparison(argument, mask, int(self._next(), 0))

    def _next(self) -> str:
        return self._tokens.pop(0)

    def _accept(self, token: str) -> bool:
        if self._tokens[0] == token:
            self._tokens.pop(0)
            return True
        return False

    def _expect(self, token: str) -> None:
        if (found := self._next()) != token:
            raise PolicyError(f"{token!r} was expected, {found!r} was found")
