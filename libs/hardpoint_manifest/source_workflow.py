"""What authors write in workflows: steps, what becomes of failures, and what starts it all."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from hardpoint_manifest.names import ActionId, ParameterName
from hardpoint_manifest.plan import MOST_ITEMS, MOST_STEPS
from hardpoint_manifest.source_parts import Effect, Label, Parameters, Source, Text

Seconds = Annotated[float, Field(gt=0, le=30 * 24 * 3600)]


def _how_often(value: object) -> str:
    return "<number>" if isinstance(value, int | float | str) else "<mapping>"


def _which(value: object) -> str:
    return "<name>" if isinstance(value, str) else "<mapping>"


class Retrying(Source):
    """How often a step is tried in all; the wait between grows by `backoff`, from so many `seconds`."""

    attempts: Annotated[int, Field(ge=1, le=11)]
    seconds: Annotated[float, Field(ge=0, le=3600)] = 1.0
    backoff: Annotated[float, Field(ge=1, le=10)] = 2.0


Retries = Annotated[
    Annotated[int, Field(ge=0, le=10), Tag("<number>")] | Annotated[Retrying, Tag("<mapping>")],
    Discriminator(_how_often),
]
"""How often a failed step is tried again: a number of times more, or in detail."""


class Called(Source):
    """An action that is called; every key besides these is an argument of it."""

    model_config = ConfigDict(extra="allow")

    action: Label
    input: Any = None


class Step(Called):
    """One step of a workflow; every key besides these is an argument of its action.

    It comes after the one before it, or after those that it `needs`. `if` decides whether it is done at all, `for_each`
    gives the list for whose items it is done; both are expressions. With `on_error: continue` it gives null when it
    fails, and the others go on: when what it asks fails, and when its own expressions do, `if` among them.
    """

    id: ActionId
    label: Text = ""
    output: ParameterName | None = None
    needs: Annotated[list[ActionId], Field(max_length=MOST_STEPS)] | None = None
    condition: Annotated[Text | None, Field(alias="if")] = None
    for_each: Text | None = None
    max_items: Annotated[int, Field(ge=1, le=MOST_ITEMS)] = 100
    timeout: Seconds | None = None
    retry: Retries | None = None
    on_error: Literal["fail", "continue"] = "fail"
    effect: Effect | None = None
    idempotency_key: Text | None = None
    revert: Called | None = None


class ErrorHandling(Source):
    """What a workflow does when a step fails: `on_error` is a step's id, a standard action, or an action to call."""

    on_error: (
        Annotated[Annotated[Label, Tag("<name>")] | Annotated[Called, Tag("<mapping>")], Discriminator(_which)] | None
    ) = None
    retry: Retries = 0


class Workflow(Source):
    """Steps that run one after another, durably.

    `trigger` is `file_upload`, the id of one of the capability's `triggers`, or `manual`: then it is only called.
    """

    trigger: Label = "manual"
    filter: Text | None = None
    inputs: Parameters = []
    outputs: Parameters = []
    steps: Annotated[list[Step], Field(min_length=1, max_length=MOST_STEPS)]
    output: Any = None
    schemas: dict[Label, dict[str, Any]] = {}
    error_handling: ErrorHandling = ErrorHandling()
