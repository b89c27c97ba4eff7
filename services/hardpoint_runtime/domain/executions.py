"""Owns what the executor is asked to do and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hardpoint_kit.errors import HardpointError
from hardpoint_kit.names import RunName
from hardpoint_manifest.authority import Authority
from hardpoint_runtime.domain.callees import Callee, Calling, Refused
from hardpoint_runtime.domain.context import NOTHING, CallContext
from hardpoint_runtime.domain.effects import Circumstances, Effect, EffectPlan
from hardpoint_runtime.domain.releases import Action, Release
from hardpoint_runtime.domain.runs import Inner, LogLine, RunState, Usage


@dataclass(frozen=True, slots=True)
class Ticket:
    """A token that is good for one thing until it expires."""

    token: str
    expires_at: datetime
    per_user: bool = False
    """Whether it is good for the calls of one person alone."""


Handle = Mapping[str, Any]
"""A stored file as an action takes and gives it: `id` (its resource name), `name`, `type`, and `size` in bytes.

One that is kept for a while has `expire_time`, such as 2030-01-31T08:00:00Z.
"""


@dataclass(frozen=True, slots=True)
class SaveLimits:
    """How many files may be saved, and how many bytes together."""

    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Lent:
    """What an execution may do with stored files: the ticket, empty for nothing, and the handles of its input.

    `known` are those that its agent knows of.
    """

    ticket: str = ""
    handles: tuple[Handle, ...] = ()
    known: tuple[Handle, ...] = ()


@dataclass(frozen=True, slots=True)
class Allowed:
    """A callee with the tickets that it takes to run it, and its own callees."""

    callee: Callee
    artifact_ticket: str
    lease_token: str
    callees: "tuple[Allowed | Refused, ...]" = ()


@dataclass(frozen=True, slots=True)
class Alone:
    """One step of a flow, to be run as if those before it had given what is pinned, by step."""

    step: str
    pinned: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Taped:
    """What is done with a tape: a test or a call is recorded, or a test replays a cassette."""

    record: bool = False
    cassette: bytes = b""


@dataclass(frozen=True, slots=True)
class Execution:
    """One attempt to run an action: `id` names it, else its run's id, and `timeout` bounds all of it in seconds.

    What it reaches is `authority`, cut by what each of its `callers` reaches. `idempotency_key` is the same for every
    attempt to have one effect.
    """

    run: RunName
    agent: str
    release: Release
    action: Action
    input: Mapping[str, Any]
    authority: Authority
    artifact_ticket: str
    lease_token: str
    wall_seconds: float
    timeout: float
    files: Lent = field(default_factory=Lent)
    callees: tuple[Allowed | Refused, ...] = ()
    callers: tuple[Calling, ...] = ()
    id: str = ""
    idempotency_key: str = ""
    alone: Alone | None = None
    """The one step to run of a flow; all when None."""
    oversize_to_file: bool = False
    installation: str = ""
    """The uid of the installation, where there is one."""
    goes_on: bool = False
    """Whether other executions of the run may follow."""
    context: CallContext = NOTHING
    """What it may see of what the agent knows; the handles of its files are in `files`."""
    user: str = ""
    """Whose accounts it uses."""
    signer: str = ""
    """Who may sign in for the org where somebody has to, and is there to be asked."""
    dry_run: bool = False
    """Whether it writes nothing, and says what it would write."""
    held_to: EffectPlan | None = None
    """What alone it may write."""
    taped: Taped = field(default_factory=Taped)
    single_use: bool = False
    """Whether the org's policy wants jails for it, and for what it calls, that serve one call alone."""
    shared_runs: bool = False
    """Whether the org's policy lets calls of the run share a jail where the release asks for it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How an execution that began has ended: with an output, or with the error that says why not.

    The output is passed on as it came, a protobuf `Value`: nothing here reads it, and writing it anew would cost more
    than all else for a large one. `used` is what of its authority it used, with the hosts that it asked. `steps` are
    what ran inside of it, in the order in which it began. `output_in_file` says that the output was too large and is
    stored: what is here says where. `planned` is what a dry run would have written, and `left` how many effects of the
    plan that it was held to were not done.
    """

    state: RunState
    output: Any
    error: HardpointError | None
    usage: Usage
    used: Authority = field(default_factory=Authority)
    steps: tuple[Inner, ...] = ()
    output_in_file: bool = False
    planned: tuple[Effect, ...] = ()
    left: int = 0
    cassette: bytes = b""
    """Of one that was recorded."""
    unrecorded: HardpointError | None = None
    """Why one that was to be recorded was not."""
    logs: tuple[LogLine, ...] = ()
    """What is kept of what it logged."""
    circumstances: Circumstances | None = None
    """Of a dry run."""
