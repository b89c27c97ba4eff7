"""Which steps are sure to have been done when another begins, and what to say of a name that is not there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from hardpoint_manifest.expression import ExpressionError
from hardpoint_manifest.finding import Finding, Path
from hardpoint_manifest.plan import After, Step
from hardpoint_manifest.planning.workflow import is_key
from hardpoint_manifest.rules.expressions import explain
from hardpoint_manifest.rules.subject import Subject

_STEP: Final = re.compile(r"steps(?:\.(\w+)|\[\"([^\"]+)\"\])")


Ways = tuple[tuple[str, str], ...]
"""The ways that branches must have gone, from the first to the last; none: however they went."""


@dataclass(frozen=True, slots=True)
class Certain:
    """What is known beforehand of which steps are done and which are skipped."""

    always: frozenset[str]
    """Steps that are never skipped."""
    with_it: Mapping[str, frozenset[str]]
    """By step, those that were done when it is its turn."""

    @classmethod
    def of(cls, steps: tuple[Step, ...]) -> Self:
        """Of steps in an order in which each comes after those it waits for."""
        begins: dict[str, Ways | None] = {}
        done: dict[str, Ways | None] = {}
        before: dict[str, frozenset[str]] = {}
        with_it: dict[str, frozenset[str]] = {}
        for step in steps:
            begins[step.id] = _joined([_taken(edge, done) for edge in step.after])
            done[step.id] = None if step.when else begins[step.id]
            before[step.id] = frozenset(e.step for e in step.after).union(*(before[e.step] for e in step.after))
            known = [_known(edge, with_it, begins) for edge in step.after]
            always = frozenset(one for one in before[step.id] if done[one] == ())
            with_it[step.id] = always | (frozenset.intersection(*known) if known else frozenset())
        return cls(frozenset(one for one, ways in done.items() if ways == ()), with_it)

    def when(self, step: Step) -> frozenset[str]:
        """The steps that were done when this one is: those before it, and those that its condition asks for."""
        asked = {one for found in _STEP.findall(step.when) for one in found if one} if "has(" in step.when else set()
        return self.with_it[step.id] | asked


def _taken(edge: After, done: Mapping[str, Ways | None]) -> Ways | None:
    """The ways on which an edge is taken; None where it is not branches alone that decide."""
    if edge.port == "settled":
        return ()
    ways = done[edge.step]
    return ways if ways is None or edge.port == "done" else (*ways, (edge.step, edge.port))


def _joined(edges: list[Ways | None]) -> Ways | None:
    """The ways on which one of the edges is taken: both ways of a branch are none at all."""
    ways = {one for one in edges if one is not None}
    while True:
        if () in ways or not edges:
            return ()
        both = next((one for one in ways if (*one[:-1], (one[-1][0], "else")) in ways and one[-1][1] == "then"), None)
        if both is None:
            return ways.pop() if len(ways) == 1 and None not in edges else None
        ways -= {both, (*both[:-1], (both[-1][0], "else"))}
        ways.add(both[:-1])


def _known(edge: After, with_it: Mapping[str, frozenset[str]], begins: Mapping[str, Ways | None]) -> frozenset[str]:
    """The steps that were done when an edge is taken."""
    if edge.port != "settled":
        return with_it[edge.step] | {edge.step}
    return with_it[edge.step] if begins[edge.step] == () else frozenset()


def unknown_name(subject: Subject, path: Path, error: ExpressionError, later: Mapping[str, str], step: str) -> Finding:
    """The finding of an expression that does not compile; a name of another step says why it is not there yet."""
    if error.reason != "NAME_UNDECLARED":
        return explain(subject, path, error)
    where = f" at character {error.offset + 1} of the expression"
    name = error.place
    if match := _STEP.match(name):
        name = f"steps.{match[1] or match[2]}"
    if name in later:
        other = later[name]
        if other == step:
            return subject.error("undeclared-name", path, f"{name} is not there yet{where}: it is what {step} gives")
        message = f"{name} is not there yet{where}: {other} does not come before {step}"
        return subject.error("undeclared-name", path, message, f"let {step} come after {other}")
    if name.startswith("settings."):
        return _setting(subject, path, name.removeprefix("settings."), where)
    key = subject.manifest.requirement(name)
    if key is not None and not key.secret:
        message = f"{name} is a setting{where}"
        return subject.error("undeclared-name", path, message, f"write settings.{name}")
    if key is not None:
        return _secret(subject, path, name, where)
    return subject.error("undeclared-name", path, f"{error.message}{where}", error.fix)


def _setting(subject: Subject, path: Path, dotted: str, where: str) -> Finding:
    key = dotted.split(".")[0].split("[")[0]
    requirement = subject.manifest.requirement(key)
    if requirement is not None and requirement.secret:
        return _secret(subject, path, key, where)
    patch = subject.add_setting(key, "string") if is_key(key) else ()
    fix = f"declare it under `{subject.settings_key}`"
    return subject.error("undeclared-name", path, f"there is no setting {key[:64]}{where}", fix, patch)


def _secret(subject: Subject, path: Path, key: str, where: str) -> Finding:
    message = f"{key} is a secret{where}; only requests and code can use it, and neither sees its value"
    return subject.error("secret-misplaced", path, message, "use it in the request or the code that needs it")
