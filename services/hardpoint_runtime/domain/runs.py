"""Owns the record of what ran. Inputs, outputs and secrets are no part of it."""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum

from hardpoint_kit.errors import ActionFailed, HardpointError
from hardpoint_kit.names import ReleaseName, RunName, StepName
from hardpoint_manifest.authority import Authority
from hardpoint_runtime.domain.counters import NOTHING, Counters
from hardpoint_runtime.domain.grants import GrantUse

_LONGEST_TEXT = 2_000
_FACTS = (
    "host",
    "redirected_by",
    "because",
    "permission",
    "method",
    "secret",
    "file",
    "budget",
    "limit",
    "signal",
    "syscall",
    "name",
    "status",
    "error",
    "content_type",
    "wanted",
    "got",
    "engine",
    "libraries",
    "offered",
    "setting",
    "table",
    "function",
    "sqlstate",
    "constraint",
    "happened",
    "path",
    "author",
    "patch",
    "callee",
    "caller",
    "cycle",
    "installation",
    "nearest",
    "effect",
    "expected",
)
"""What of an error's metadata is kept with its run: names and limits, never a value of an input or a secret."""
_MOST_FACTS_CHARS = 8_000


class RunState(StrEnum):
    """Where a run is; a call of one action is recorded when it has ended, a workflow's run from the start."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Usage:
    """What one execution used: milliseconds, bytes, calls through the broker."""

    wall_ms: float = 0.0
    cpu_ms: float = 0.0
    peak_memory_bytes: int = 0
    broker_calls: int = 0
    bytes_out: int = 0
    bytes_in: int = 0
    log_bytes: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        """What two executions used together, one after the other."""
        summed = {field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)}
        return Usage(**{**summed, "peak_memory_bytes": max(self.peak_memory_bytes, other.peak_memory_bytes)})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run did not succeed, in the words of the error that its caller got; empty texts when it did.

    `facts` name what was refused or went wrong (host, permission, limit ...) and the patch that would allow it.
    """

    reason: str = ""
    message: str = ""
    place: str = ""
    fix: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    def error(self) -> ActionFailed:
        """The error again, as far as it was kept."""
        error = ActionFailed(self.message, reason=self.reason, fix=self.fix, place=self.place)
        error.metadata.update(self.facts)
        return error

    @classmethod
    def of(cls, error: HardpointError | None) -> "Failure":
        """The error as it is recorded."""
        if error is None:
            return cls()
        message, place, fix = map(_storable, (error.message, error.place, error.fix))
        return cls(error.reason, message, place, fix, _facts_of(error))


@dataclass(frozen=True, slots=True)
class Run:
    """One recorded piece of work. `agent` is the agent's id, empty for a test."""

    name: RunName
    agent: str
    action: str
    release: ReleaseName
    state: RunState
    failure: Failure
    started_at: datetime
    duration_us: int
    usage: Usage
    trace_id: str
    subject: str
    on_behalf_of: str = ""
    dry_run: bool = False
    """Whether it wrote nothing, and made the plan of what it would have written."""
    plan: str = ""
    """The digest of that plan, or of the one that it was held to."""
    depth: int = 0
    """How many runs started each other by events before it, and it with them."""
    recorded: bool = False
    """Whether somebody was given a cassette of it."""
    root: str = ""
    """The id of the run that began the tree of runs in which it is, by steps and by events; empty for that one."""

    @property
    def user(self) -> str:
        """Whose accounts it uses."""
        return self.on_behalf_of or self.subject

    @property
    def tree(self) -> RunName:
        """The run that began its tree of runs, which may be itself."""
        return RunName(self.name.org, self.root or self.name.run)

    @property
    def ended_at(self) -> datetime:
        """When it ended."""
        return self.started_at + timedelta(microseconds=self.duration_us)

    def over(self, state: RunState, failure: Failure, at: datetime, used: Iterable[Usage]) -> "Run":
        """The run as it ends then, with what its steps used."""
        lasted = max(0, (at - self.started_at) // timedelta(microseconds=1))
        return replace(self, state=state, failure=failure, duration_us=lasted, usage=sum(used, Usage()))

    @property
    def counted(self) -> Counters:
        """What it adds to the counters."""
        return _counters(self.state, self.duration_us, self.ended_at)

    def only_step(self) -> "Step":
        """The one step of a run that called one action: it is the run, and is not stored beside it."""
        whole = Inner(
            "", self.action, self.release, self.state, self.failure, self.started_at, self.duration_us, self.usage
        )
        return Step(StepName(self.name.org, self.name.run, "1"), whole)


@dataclass(frozen=True, slots=True)
class Inner:
    """What ran inside of a run: a step of a flow, or a call of another capability.

    `path` says where: `{step}`, `{step}/{index}` in a loop, `{step}/{its step}` inside of a call. `usage` is with what
    ran inside of it. `installation` is the name of the one that was called, and `used` what of its grants it used.
    """

    path: str
    action: str
    release: ReleaseName
    state: RunState
    failure: Failure
    started_at: datetime
    duration_us: int
    usage: Usage
    installation: str = ""
    used: Authority = field(default_factory=Authority)

    @property
    def counted(self) -> Counters:
        """What it adds to the counters."""
        return _counters(self.state, self.duration_us, self.started_at + timedelta(microseconds=self.duration_us))


@dataclass(frozen=True, slots=True)
class Step:
    """One recorded step of a run; they are numbered as they began."""

    name: StepName
    inner: Inner


@dataclass(frozen=True, slots=True)
class CountedFor:
    """Whose counters a run adds to, by uid."""

    attachment: str
    installation: str


@dataclass(frozen=True, slots=True)
class Share:
    """What a run, or a call inside of one, adds to the counters of an attachment, and the grants that it used."""

    counted_for: CountedFor
    counted: Counters
    grants: frozenset[str]


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that the code of a run logged, `step` being which step of a workflow it was of."""

    level: str
    message: str
    step: str = ""

    @classmethod
    def of(cls, level: str, message: str) -> "LogLine":
        """A line as it can be kept, whatever the code put into it."""
        return cls(level, _storable(message))


@dataclass(frozen=True, slots=True)
class Record:
    """A run that waits to be written, with what ran inside of it, and whose counters these add to: nobody's for a test.

    `grants` are the permissions and hosts of the installation, as granted, that it used.
    """

    run: Run
    counted_for: CountedFor | None
    grants: frozenset[str] = frozenset()
    steps: tuple[Inner, ...] = ()
    inner: tuple[Share, ...] = ()
    """Of the calls among the steps."""
    logs: tuple[LogLine, ...] = ()
    told: bool = True
    """Whether triggers hear of it if it failed."""

    @property
    def shares(self) -> tuple[Share, ...]:
        """All that is added to counters."""
        own = () if self.counted_for is None else (Share(self.counted_for, self.run.counted, self.grants),)
        return (*own, *self.inner)


def sum_by_attachment(records: Iterable[Record]) -> dict[tuple[str, CountedFor], Counters]:
    """What these runs add together to the counters of each attachment, by org and uid."""
    sums: dict[tuple[str, CountedFor], Counters] = {}
    for record in records:
        for share in record.shares:
            key = record.run.name.org, share.counted_for
            sums[key] = sums.get(key, NOTHING) + share.counted
    return sums


def sum_by_grant(records: Iterable[Record]) -> dict[tuple[str, str], list[GrantUse]]:
    """What these runs add together to the uses of each grant, by org and the installation's uid."""
    sums: dict[tuple[str, str], dict[str, GrantUse]] = {}
    for record in records:
        for share in record.shares:
            uses = sums.setdefault((record.run.name.org, share.counted_for.installation), {})
            for grant in share.grants:
                uses[grant] = uses.get(grant, GrantUse(grant)) + GrantUse(grant, 1, share.counted.last_used)
    return {key: [*uses.values()] for key, uses in sums.items()}


def _counters(state: RunState, duration_us: int, ended_at: datetime) -> Counters:
    return Counters(
        executions=1,
        errors=int(state is RunState.FAILED),
        usages=int(state is RunState.SUCCEEDED),
        total_us=duration_us,
        last_used=ended_at,
    )


def new_run_name(org: str, at: datetime) -> RunName:
    """A name that no other run has; names sort as their runs started, to the millisecond."""
    return RunName(org, f"{int(at.timestamp() * 1000):012x}-{secrets.token_hex(6)}")


def _storable(text: str) -> str:
    """What the author's code said, without the one character that PostgreSQL refuses, and not without end."""
    return text.replace("\0", "\ufffd")[:_LONGEST_TEXT]


def _facts_of(error: HardpointError) -> dict[str, str]:
    """The known facts, as many as there is room for: a patch that was cut would be none."""
    facts: dict[str, str] = {}
    left = _MOST_FACTS_CHARS
    for name in _FACTS:
        text = error.metadata.get(name, "").replace("\0", "\ufffd")
        if text and len(text) <= left:
            facts[name] = text
            left -= len(text)
    return facts
