"""The plan: steps and what each waits for, the one form that flows and workflows compile to.

A plan is data and travels with its release. `walk` says which step comes next; whoever walks it does the steps: the
executor those of flows, the runtime those of workflows.

Its expressions know `input`, the action's input; `trigger`, what started it, or of a call the input once more;
`settings`, the installation's settings by key, without secrets; `steps.<id>`, the output of each step that was done.
"""

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from hardpoint_manifest.names import ActionId
from hardpoint_manifest.value import Value

MOST_STEPS = 100
MOST_ITEMS = 1000
"""Of one loop."""
ACTION = "run"
"""The one action of a flow or a workflow."""


class Does(StrEnum):
    """What a step does. `walk` does the first four itself; for the others somebody is needed."""

    VALUE = "value"
    """Its input, filled in."""
    BRANCH = "branch"
    """Its condition decides between what comes after it as `then` and as `else`."""
    FILTER = "filter"
    """The items of its input, a list, for which its condition holds; the condition knows each as `item`."""
    PARSE = "parse"
    """Its input, a text, read as its format says."""

    CALL = "call"
    """An action of another capability."""
    HTTP = "http"
    """A request of its own: an inner action of the release (`Manifest.inner`), which nobody else can call."""
    CODE = "code"
    """Code of its own, likewise; `inner.module` makes a module of it."""
    STEPS = "steps"
    """Steps of its own, in a scope of their own; usually once for each item of a list."""
    WAIT = "wait"
    """Until so many seconds have passed, its input as a number; or until the time that it is as a text (RFC 3339)."""
    APPROVAL = "approval"
    """Until a person has said yes or no; its input is what they are shown."""
    EVENT = "event"
    """Until an event of the name that its input gives has come; what it carries is the output."""


PURE = frozenset({Does.VALUE, Does.BRANCH, Does.FILTER, Does.PARSE})
WAITING = frozenset({Does.WAIT, Does.APPROVAL, Does.EVENT})
"""Only a workflow can wait."""


class After(Value):
    """One step that is waited for, and how it must have ended for this edge to be taken.

    `done`: it was done, not skipped. `then` and `else`: it is a branch that went this way. `settled`: however it ended.
    """

    step: ActionId
    port: Literal["done", "then", "else", "settled"] = "done"


class Retry(Value):
    """How often a step is tried in all, and how long between: `seconds`, times `backoff` after each attempt."""

    attempts: int = Field(default=1, ge=1, le=11)
    seconds: float = Field(default=1.0, ge=0, le=3600)
    backoff: float = Field(default=2.0, ge=1, le=10)
    harmless: bool = False
    """Whether the workflow says it for all of its steps, and so for those alone where it can be kept: one that calls
    another workflow, of which it begins one run, does without. What may have happened is repeated neither way."""


class Step(Value):
    """One step. A text in `input` is a template; `condition` and `for_each` are expressions.

    A step begins when all that it is `after` is settled, and is skipped when none of these edges is taken or its `when`
    does not hold. With `for_each` it is done once for each item, and its output is the list of theirs.
    """

    id: ActionId
    does: Does
    name: str = ""
    action: str = ""
    """Of a call `capability.action`; of a request or code the id of the inner action."""
    input: Any = None
    condition: str = ""
    format: Literal["", "json", "csv", "lines"] = ""
    when: str = ""
    for_each: str = ""
    most: int = Field(default=100, ge=1, le=MOST_ITEMS)
    after: tuple[After, ...] = ()
    output: str = ""
    """A short name for its output, beside `steps.<id>`."""
    retry: Retry = Retry()
    timeout_seconds: float | None = None
    effect: Literal["read", "write"] | None = None
    """What the author says of it; None: what its action says."""
    idempotency_key: str = ""
    """A template that names the effect better than the run and the step do."""
    on_error: Literal["fail", "continue"] = "fail"
    by: Literal["", "somebody-else"] = ""
    """Who may approve: whoever has the role, or of those nobody who started the run."""
    revert: "Step | None" = None
    """What undoes it when a later step fails; it knows the `output` of what it undoes, and the `error`."""
    steps: tuple["Step", ...] = ()
    result: Any = None
    """Of steps of its own: their output, a template; without one, the last step's."""


class Plan(Value):
    """Steps in an order in which each comes after those it waits for.

    `output` is the template of the whole's output; without one, the last step's. `on_error` is done when a step failed
    for good, and knows `error`. `optional` are paths that need not be there: what is such a path alone is left out.
    """

    steps: tuple[Step, ...]
    optional: tuple[str, ...] = ()
    output: Any = None
    on_error: Step | None = None
