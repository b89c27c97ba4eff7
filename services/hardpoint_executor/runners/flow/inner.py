"""A step's own request or code as a program, and the execution of it: with all that the flow reaches and was given."""

from dataclasses import replace
from typing import Any

from hardpoint_executor.artifacts import Calls, Code
from hardpoint_executor.domain import Execution
from hardpoint_executor.runners.flow.plan import FlowPlan
from hardpoint_kit.errors import ActionFailed
from hardpoint_manifest.inner import FUNCTION


def inner(flow: FlowPlan, whole: Execution, action: str, value: Any, key: str) -> tuple[Calls | Code, Execution]:
    """The program of an inner action, and its execution with an input; raises ActionFailed for one that cannot be."""
    of = replace(
        whole,
        action=action,
        output_schema={},
        input=value,
        idempotency_key=key,
        callees={},
        step="",
        files=whole.files.with_those_in(value),
        oversize_to_file=False,
    )
    if (request := flow.requests.get(action)) is not None:
        if not isinstance(value, dict):
            raise ActionFailed(
                f"the request of {action} takes an object, and is given {type(value).__name__}",
                reason="INPUT_INVALID",
                fix="give it an `input` of names and values",
            )
        return Calls({action: request}), of
    code = flow.codes[action]
    artifact = replace(whole.artifact, filename=code.filename)
    of = replace(of, action=FUNCTION, artifact=artifact, output_schema=code.output_schema)
    return Code(code.language, code.source), of
