"""Steps that call: how what is written beside an action becomes its input, and what is known of the action."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal

from hardpoint_manifest.model import Parameter
from hardpoint_manifest.names import ActionId
from hardpoint_manifest.plan import Does, Plan, Retry, Step
from hardpoint_manifest.source_workflow import Called, Retries, Retrying
from hardpoint_manifest.standard import STANDARD_ACTIONS, StandardAction

CALLEE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.[A-Za-z][A-Za-z0-9_-]{0,63}")
SCHEMA: Final = "schema"
_WHOLE: Final = re.compile(r"\$\{(.*)\}|\{\{(.*)\}\}", re.DOTALL)
_MOST_ID: Final = 64


def expression(text: str | None) -> str:
    """An expression that may be written as a template of it alone: `${a > 1}` is `a > 1`."""
    stripped = (text or "").strip()
    match = _WHOLE.fullmatch(stripped)
    inside = "" if match is None else match[1] or match[2] or ""
    return stripped if match is None or "${" in inside or "{{" in inside else inside.strip()


def arguments(called: Called) -> Any:
    """The input of the callee: a mapping alone is the whole of it, else `input` is one argument among the others."""
    others = dict(called.model_extra or {})
    if "input" not in called.model_fields_set:
        return others
    return called.input if isinstance(called.input, dict) and not others else {"input": called.input, **others}


def standard(action: str) -> StandardAction | None:
    """What is known of an action, if it is a standard one."""
    return STANDARD_ACTIONS.get(action)


def takes_schema(action: str) -> bool:
    """Whether `schema` is the JSON Schema that a standard action wants."""
    known = standard(action)
    return known is not None and any(one.name == SCHEMA and one.type == "object" for one in known.inputs)


def takes_input(action: str) -> bool:
    """Whether an action has a parameter `input`, as far as is known."""
    known = standard(action)
    return known is None or any(one.name == "input" for one in known.inputs)


def undeclared_schema(action: str, written: Any, schemas: Mapping[str, Any]) -> str | None:
    """The name of a schema that the document does not have, so that an installation gives it."""
    name = written.get(SCHEMA) if isinstance(written, dict) else None
    if not isinstance(name, str) or name in schemas or not takes_schema(action):
        return None
    return None if "${" in name or "{{" in name else name


def inlined(action: str, written: Any, schemas: Mapping[str, Any]) -> Any:
    """The input of a callee with the schema that it names in place of the name."""
    name = written.get(SCHEMA) if isinstance(written, dict) else None
    if isinstance(name, str) and name in schemas:
        return {**written, SCHEMA: schemas[name]}
    if missing := undeclared_schema(action, written, schemas):
        return {**written, SCHEMA: f"${{settings.{missing}}}"}
    return written


def retry(written: Retries | None) -> Retry:
    """How often a step is tried."""
    if isinstance(written, Retrying):
        return Retry(attempts=written.attempts, seconds=written.seconds, backoff=written.backoff)
    return Retry(attempts=(written or 0) + 1)


def may_repeat(step: Step) -> bool:
    """Whether doing a step again is known to do no harm."""
    if step.does is not Does.CALL or step.effect == "read":
        return True
    known = standard(step.action)
    return known is not None and (known.idempotent or (known.effect == "read" and step.effect is None))


def effect(steps: Iterable[Step]) -> Literal["read", "write"]:
    """What steps do together; an action of which nothing is known may write."""
    return "write" if any(_writes(step) for step in every(steps)) else "read"


def _writes(step: Step) -> bool:
    if step.effect is not None:
        return step.effect == "write"
    known = standard(step.action)
    return step.does is Does.CALL and (known is None or known.effect == "write")


def every(steps: Iterable[Step | None]) -> Iterator[Step]:
    """All steps, those inside others and those that undo among them."""
    for step in steps:
        if step is not None:
            yield step
            yield from every((*step.steps, step.revert))


def called(plan: Plan | None) -> tuple[str, ...]:
    """The actions of other capabilities that a plan calls."""
    steps = every((*plan.steps, plan.on_error)) if plan is not None else ()
    return tuple(dict.fromkeys(step.action for step in steps if step.does is Does.CALL))


def optional(inputs: Iterable[Parameter]) -> tuple[str, ...]:
    """The paths of inputs that need not be given."""
    return tuple(f"input.{one.name}" for one in inputs if not one.required and one.default is None)


def step_id(prefix: str, id: ActionId) -> str:
    """The id of a step that belongs to another."""
    return f"{prefix}-{id}"[:_MOST_ID]
