"""What is asked: one action to run once, with everything that it needs, and what it may use."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hardpoint_executor.domain.files import Handle, Lent
from hardpoint_executor.limits import seconds, whole
from hardpoint_executor.writes import DRY, Writes
from hardpoint_kit.errors import HardpointError
from hardpoint_manifest.authority import COMPUTE_SECONDS, Authority, within
from hardpoint_manifest.cassette import Cassette
from hardpoint_manifest.inputs import InputSchema

DEFAULT_COMPUTE = "light"
CONTEXT_FILES = "context.files"


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

    wall_seconds: float = seconds("policy.wall_seconds")
    memory_bytes: int = whole("policy.memory_mib")
    output_bytes: int = whole("policy.output_kib")
    log_bytes: int = whole("policy.log_kib")
    broker_calls: int = whole("policy.broker_calls")

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
    single_use: bool = False
    """Whether its org wants that for all code."""
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
    shared_runs: bool = False
    """Whether its org lets calls of one run share a jail."""
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
