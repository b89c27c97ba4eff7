"""A plan as people read it: a line for each step, what it does, and what is not plain about it."""

from collections.abc import Iterator
from typing import Any, Final

from hardpoint_manifest.plan import Does, Plan, Step

_LONGEST: Final = 60
_DOES: Final = {
    Does.VALUE: "make a value",
    Does.BRANCH: "branch",
    Does.FILTER: "keep of a list",
    Does.PARSE: "read as",
    Does.HTTP: "request",
    Does.CODE: "code",
    Does.STEPS: "loop",
    Does.WAIT: "wait",
    Does.APPROVAL: "ask a person",
    Does.EVENT: "wait for the event",
}


def outline(plan: Plan) -> list[str]:
    """The lines."""
    rows = list(_rows(plan.steps, ""))
    if plan.on_error is not None:
        rows.append(("on error", _what(plan.on_error), ""))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return [f"{name:<{widths[0]}}  {what:<{widths[1]}}  {notes}".rstrip() for name, what, notes in rows]


def _rows(steps: tuple[Step, ...], indent: str) -> Iterator[tuple[str, str, str]]:
    before = ""
    for step in steps:
        yield f"{indent}{step.id}", _what(step), "; ".join(_notes(step, before))
        yield from _rows(step.steps, f"{indent}  ")
        before = step.id


def _what(step: Step) -> str:
    if step.does is Does.CALL:
        return step.action
    about = {
        Does.PARSE: step.format,
        Does.BRANCH: step.condition,
        Does.FILTER: step.condition,
        Does.WAIT: f"{step.input} s" if isinstance(step.input, int | float) else f"until {step.input}",
        Does.EVENT: step.input,
    }
    return f"{_DOES[step.does]} {_short(about.get(step.does, ''))}".strip()


def _notes(step: Step, before: str) -> Iterator[str]:
    """What is to be known of a step besides that it comes after the one above it."""
    ports = [f"{edge.step}{f' ({edge.port})' if edge.port in ('then', 'else') else ''}" for edge in step.after]
    if ports != ([before] if before else []):
        yield f"after {', '.join(ports)}" if ports else "at once"
    if step.when:
        yield f"if {_short(step.when)}"
    if step.for_each:
        yield f"for each of {_short(step.for_each)}, {step.most} at most"
    if step.retry.attempts > 1:
        yield f"tried {step.retry.attempts} times"
    if step.on_error == "continue":
        yield "goes on when it fails"
    if step.revert is not None:
        yield f"undone by {step.revert.action}"


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
