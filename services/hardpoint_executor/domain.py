"""Owns the words of an execution: what is asked, what happens meanwhile, how it ended, and what it may use.

Pure values and rules; calls no one.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from hardpoint_executor.writes import DRY, Circumstances, Effect, Writes
from hardpoint_kit.errors import HardpointError
from hardpoint_manifest.authority import COMPUTE_SECONDS, Authority, within
from hardpoint_manifest.cassette import Cassette
from hardpoint_manifest.inputs import InputSchema

DEFAULT_COMPUTE = "light"
CONTEXT_FILES = "context.files"


class Outcome(StrEnum):
    """How an execution ended, decided outside the jail."""

    OK = "ok"
    USER_ERROR = "user_error"
    TIMEOUT = "timeout"
    OOM = "oom"
    CRASH = "crash"
    VIOLATION = "violation"
    PROTOCOL = "protocol"
    OUTPUT_LIMIT = "output_limit"
    BUDGET = "budget"
    CANCELLED = "cancelled"
    DENIED = "denied"


_OUTCOMES = {
    "TIMEOUT": Outcome.TIMEOUT,
    "UPSTREAM_TIMEOUT": Outcome.TIMEOUT,
    "MEMORY": Outcome.OOM,
    "CRASH": Outcome.CRASH,
    "VIOLATION": Outcome.VIOLATION,
    "PROTOCOL": Outcome.PROTOCOL,
    "OUTPUT_LIMIT": Outcome.OUTPUT_LIMIT,
    "BUDGET": Outcome.BUDGET,
    "CANCELLED": Outcome.CANCELLED,
    "GRANT_MISSING": Outcome.DENIED,
    "HOST_NOT_GRANTED": Outcome.DENIED,
    "PERMISSION_NOT_GRANTED": Outcome.DENIED,
    "URL_REFUSED": Outcome.DENIED,
    "USERINFO_REFUSED": Outcome.DENIED,
    "HOST_NOT_A_NAME": Outcome.DENIED,
    "ADDRESS_NOT_PUBLIC": Outcome.DENIED,
    "HEADER_REFUSED": Outcome.DENIED,
    "METHOD_REFUSED": Outcome.DENIED,
    "REDIRECT_REFUSED": Outcome.DENIED,
    "TOO_MANY_REDIRECTS": Outcome.DENIED,
    "REQUEST_TOO_LARGE": Outcome.DENIED,
    "RESPONSE_TOO_LARGE": Outcome.DENIED,
    "SERVICE_UNKNOWN": Outcome.DENIED,
    "SECRET_MISPLACED": Outcome.DENIED,
    "SECRET_NOT_FOR_HOST": Outcome.DENIED,
    "ANSWER_HOLDS_SECRET": Outcome.DENIED,
    "OUTPUT_HOLDS_SECRET": Outcome.DENIED,
    "FILE_LIMIT": Outcome.DENIED,
    "FILE_NOT_GIVEN": Outcome.DENIED,
    "FILE_SAVE_LIMIT": Outcome.DENIED,
    "FILE_QUOTA": Outcome.DENIED,
    "TABLE_NOT_ALLOWED": Outcome.DENIED,
    "STATEMENT_REFUSED": Outcome.DENIED,
    "CALLEE_NOT_DECLARED": Outcome.DENIED,
    "CALLEE_NOT_INSTALLED": Outcome.DENIED,
    "CALLEE_DISABLED": Outcome.DENIED,
    "CALLEE_UNKNOWN": Outcome.DENIED,
    "CALLEE_AMBIGUOUS": Outcome.DENIED,
    "CALLEE_CYCLE": Outcome.DENIED,
    "CALLEE_LIMIT": Outcome.DENIED,
    "EFFECT_NOT_PLANNED": Outcome.DENIED,
    "EFFECT_PLAN_LIMIT": Outcome.DENIED,
    "ANSWER_NOT_KNOWN": Outcome.DENIED,
}


def outcome_of(error: HardpointError) -> Outcome:
    """Tell from an error's reason how the execution ended."""
    return _OUTCOMES.get(error.reason, Outcome.USER_ERROR)


@dataclass(frozen=True, slots=True)
class Artifact:
    """The bytes to run: named by digest, with the file name that says the language and the ticket to read them."""

    digest: str
    filename: str
    ticket: str


@dataclass(frozen=True, slots=True)
class Requirement:
    """A value the release declares: its key, whether it is secret, and what stands in when nothing is set.

    A secret goes to `hosts` alone; `pointer` is the JSON Pointer of the declaration in the author's document.
    """

    key: str
    secret: bool
    default: Any = None
    hosts: frozenset[str] = frozenset()
    pointer: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What one execution may use: seconds, bytes and calls."""

    wall_seconds: float = 30.0
    memory_bytes: int = 128 * 1024 * 1024
    output_bytes: int = 1024 * 1024
    log_bytes: int = 64 * 1024
    broker_calls: int = 10

    def narrowed(self, asked: "Limits") -> "Limits":
        """The smaller of both in every part; a zero in `asked` asks for nothing."""
        return Limits(
            wall_seconds=min(self.wall_seconds, asked.wall_seconds or self.wall_seconds),
            memory_bytes=min(self.memory_bytes, asked.memory_bytes or self.memory_bytes),
            output_bytes=min(self.output_bytes, asked.output_bytes or self.output_bytes),
            log_bytes=min(self.log_bytes, asked.log_bytes or self.log_bytes),
            broker_calls=min(self.broker_calls, asked.broker_calls or self.broker_calls),
        )

    def compute_used(self, authority: Authority, seconds: float) -> frozenset[str]:
        """The permission of the lightest compute tier that these seconds fit in, where it is granted."""
        fitting = (tier for tier, most in COMPUTE_SECONDS.items() if min(seconds, self.wall_seconds) <= most)
        return authority.permissions & {f"compute.{tier}" for tier in [*fitting][:1]}

    def for_compute(self, authority: Authority) -> "Limits":
        """Cut to the widest compute tier that is granted; without one, the lightest."""
        granted = [tier for tier in COMPUTE_SECONDS if f"compute.{tier}" in authority.permissions]
        seconds = max((COMPUTE_SECONDS[tier] for tier in granted), default=COMPUTE_SECONDS[DEFAULT_COMPUTE])
        return self.narrowed(Limits(seconds, 0, 0, 0, 0))


Handle = Mapping[str, Any]
"""A stored file as an action takes and gives it: `id` (its resource name), `name`, `type`, and `size` in bytes."""


def handles_in(value: Any) -> Iterator[Handle]:
    """Whatever looks like the handle of a stored file in a JSON value; the unit of files says which are."""
    if isinstance(value, Mapping):
        if isinstance(value.get("id"), str) and "/files/" in value["id"]:
            yield value
        for part in value.values():
            yield from handles_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from handles_in(part)


@dataclass(frozen=True, slots=True)
class Lent:
    """What an execution may do with stored files: the ticket, empty for nothing, and the handles that came with it."""

    ticket: str = ""
    handles: tuple[Handle, ...] = ()
    alone: bool = False
    """Whether those handles are all that may be opened, although the ticket is good for more: it is the caller's."""

    def handed(self, value: Any) -> "Lent":
        """What is lent to a callee: of what its caller has, the files that are in its input."""
        return replace(self, handles=tuple(handles_in(value)), alone=True)

    def with_known(self, handles: tuple[Handle, ...]) -> "Lent":
        """What is lent to whoever may know of these files too."""
        return replace(self, handles=(*self.handles, *handles))

    def with_those_in(self, value: Any) -> "Lent":
        """What a step of the same release has: those in its input besides."""
        return replace(self, handles=(*self.handles, *handles_in(value)))


@dataclass(frozen=True, slots=True)
class Sharing:
    """Of which run and installation executions are that may share a jail; see the message of that name."""

    run: str
    installation: str
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What the calling agent knows, unproved: each part where it was given, the files as their handles."""

    user: Mapping[str, Any] | None = None
    conversation: Mapping[str, Any] | None = None
    files: tuple[Handle, ...] = ()


UNKNOWN = Known()


@dataclass(frozen=True, slots=True)
class Execution:
    """One action to run once, with everything that it needs."""

    org: str
    id: str
    release: str
    artifact: Artifact
    action: str
    output_schema: Mapping[str, Any]
    input: Mapping[str, Any]
    authority: Authority
    lease_token: str
    requirements: tuple[Requirement, ...]
    limits: Limits
    agent: str = ""
    run: str = ""
    engine: str = ""
    """What runs the code, where its language has several."""
    libraries: tuple[str, ...] = ()
    strict: bool = False
    """Whether the release wants a jail that serves this call alone."""
    files: Lent = field(default_factory=Lent)
    oversize_to_file: bool = False
    """Whether an output that is too large is stored, rather than an error."""
    asked: Authority = field(default_factory=Authority)
    """What the release asks for, granted or not."""
    idempotency_key: str = ""
    """The same for every attempt of one effect; nothing where nobody would repeat it."""
    callees: "Mapping[str, Callee]" = field(default_factory=dict)
    """What it may call of other capabilities, by name."""
    callers: "tuple[Calling, ...]" = ()
    """On whose behalf it runs, the outermost first."""
    granted: Authority | None = None
    """What it would reach without its callers; None where there are none."""
    installation: str = ""
    """Of a callee: whose settings it has."""
    depth: int = 0
    """How many jails wait for it."""
    step: str = ""
    """The one step of a flow to run, as if those before it had given what is `pinned`; all when empty."""
    pinned: Mapping[str, Any] = field(default_factory=dict)
    known: Known = UNKNOWN
    """What the calling agent knows; what of it is seen, its authority decides."""
    writes: Writes = field(default_factory=Writes)
    """What becomes of what it writes, with all that runs inside."""
    sharing: Sharing | None = None
    """What others have in common that may have used its jail before; None where it wants one to itself."""
    record: bool = False
    """Whether what it does outside is to be written down."""
    cassette: Cassette | None = None
    """What it did outside when it was recorded, in place of doing it."""

    @property
    def key(self) -> str:
        """The idempotency key under which it acts: a dry run's is nobody else's."""
        dry = self.writes.dry_run and self.idempotency_key
        return f"{DRY}{self.idempotency_key}" if dry else self.idempotency_key

    @property
    def sharings(self) -> "Iterator[Sharing]":
        """Its own, and those of what it may call."""
        if self.sharing is not None:
            yield self.sharing
        for callee in self.callees.values():
            if callee.execution is not None:
                yield from callee.execution.sharings

    @property
    def capability(self) -> str:
        """The capability's resource name."""
        return self.release.partition("/releases/")[0]

    @property
    def calling(self) -> "Calling":
        """This one as a caller of others."""
        return Calling(self.release, self.authority, self.asked)

    def on_behalf(self, callers: "tuple[Calling, ...]") -> "Execution":
        """The same on behalf of these, so that it reaches no more than each of them."""
        granted = self.authority if self.granted is None else self.granted
        return replace(
            self,
            callers=callers,
            granted=granted if callers else None,
            authority=within(granted, (caller.authority for caller in callers)),
        )

    @property
    def lent(self) -> Lent:
        """What it may do with stored files, those that its agent knows of among them where they are granted."""
        return self.files.with_known(self.known.files) if CONTEXT_FILES in self.authority.permissions else self.files

    @property
    def who(self) -> dict[str, str]:
        """Whose it is and what it runs, each where there is one: what its code may know, and logs say."""
        known = {
            "org": self.org,
            "capability": self.capability,
            "release": self.release,
            "action": self.action,
            "agent": self.agent,
            "run": self.run,
            "execution": self.id,
            "idempotency_key": self.key,
        }
        return {name: value for name, value in known.items() if value}


@dataclass(frozen=True, slots=True)
class Calling:
    """A release on whose behalf others run: what it reaches, and what it asks for, granted or not."""

    release: str
    authority: Authority
    asked: Authority

    @property
    def capability(self) -> str:
        """The capability's id."""
        return self.release.partition("/releases/")[0].rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Callee:
    """An action of another capability that an execution may call, or why it cannot be called."""

    action: str
    execution: Execution | None = None
    input: InputSchema | None = None
    refusal: HardpointError | None = None
    repeatable: bool = False
    """Whether it may be done again: it reads, or does nothing more with the same key."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an execution used: milliseconds, bytes and calls."""

    wall_ms: float = 0.0
    cpu_ms: float = 0.0
    peak_memory_bytes: int = 0
    broker_calls: int = 0
    bytes_out: int = 0
    bytes_in: int = 0
    log_bytes: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def with_inner(self, inner: "Usage") -> "Usage":
        """With what ran inside: its wall time is part of this one's, its memory that of another process."""
        if inner == _NOTHING:
            return self
        sums = {f.name: getattr(self, f.name) + getattr(inner, f.name) for f in fields(self)}
        peak = max(self.peak_memory_bytes, inner.peak_memory_bytes)
        return Usage(**{**sums, "wall_ms": self.wall_ms, "peak_memory_bytes": peak})


_NOTHING = Usage()


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of running code: what it used, and its output or the error with which it ended."""

    usage: Usage
    output: Any = None
    error: HardpointError | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """A runner took the execution."""

    runner: str


@dataclass(frozen=True, slots=True)
class Log:
    """A line that the action logged."""

    level: str
    message: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the action says it is, from 0 to 1."""

    fraction: float
    message: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The end: an output for `ok`, an error for every other outcome; `used` is the part of its authority it needed."""

    outcome: Outcome
    usage: Usage
    output: Any = None
    error: HardpointError | None = None
    used: Authority = field(default_factory=Authority)
    steps: "tuple[InnerStep, ...]" = ()
    """What ran inside of it, in the order in which it began."""
    output_in_file: bool = False
    """Whether the output is stored, and `output` says where."""
    planned: tuple[Effect, ...] = ()
    """Of a dry run: what it would have written, in the order in which it came to it."""
    left: int = 0
    """Of an execution that is held to a plan: how many effects of it were not done."""
    cassette: bytes = b""
    """Of one that was to be recorded."""
    unrecorded: HardpointError | None = None
    """Why there is none, although it was to be."""
    logs: tuple[Log, ...] = ()
    """What is kept of what it logged."""
    circumstances: Circumstances | None = None
    """Of a dry run."""


@dataclass(frozen=True, slots=True)
class InnerStep:
    """A step of a flow, or a call of another capability; see the message of that name. Usage is with what it called."""

    path: str
    action: str
    release: str
    outcome: Outcome
    error: HardpointError | None
    usage: Usage
    started_at: datetime
    duration_ms: float
    installation: str = ""
    used: Authority = field(default_factory=Authority)

    def inside(self, path: str) -> "InnerStep":
        """The same as part of a step."""
        return replace(self, path=f"{path}/{self.path}")


Event = Started | Log | Progress | Finished
Tell = Callable[[Event], None]
"""Takes what happens during an execution; never waits."""
