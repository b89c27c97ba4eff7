"""Owns the words between the jail and the rest of the executor: a call, its limits, its outcome, its only door.

It calls no one; its numbers stand in limits.toml. `Jail` is what a tier implements, `Door` what the broker implements.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from hardpoint_executor.limits import seconds, whole

LANGUAGES = ("python", "javascript")
ENGINES = {"python": ("python",), "javascript": ("node", "quickjs")}
"""What runs each language, the usual one first; the first that is there reads headers."""
STRIPS_TYPES = "node"
"""The engine that takes the types out of TypeScript."""


class OutcomeKind(StrEnum):
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


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may use. Seconds count from the moment the jail has the call, never time in a queue."""

    wall_seconds: float = seconds("policy.wall_seconds")
    memory_bytes: int = whole("policy.memory_mib")
    output_bytes: int = whole("policy.output_kib")
    """Bytes of the result, and apart from it bytes printed to stdout and stderr."""
    log_bytes: int = whole("policy.log_kib")
    """Bytes of log and progress messages."""
    oversize_bytes: int = 0
    """Bytes of a result that may be larger than `output_bytes`; 0 where it may not."""
    broker_calls: int = whole("policy.broker_calls")
    broker_bytes: int = whole("jail.broker_mib")
    """Bytes of all that is asked of the broker: reading it takes the executor's own time."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A library that Python jails can import: its version, the others it needs, and what it costs with all of them.

    Bytes on disk, milliseconds of processor time for an import, bytes that are then resident, and bytes of address
    space. Apart from the disk it is 0 before it has been measured, in a jail.
    """

    name: str
    version: str
    needs: tuple[str, ...]
    disk_bytes: int
    import_ms: float = 0.0
    resident_bytes: int = 0
    address_bytes: int = 0


DESCRIBE_LIMITS = Limits(wall_seconds=seconds("header.wall_seconds"), output_bytes=whole("header.output_kib"))
"""What reading a header may use, besides what libraries take."""


@dataclass(frozen=True, slots=True)
class Together:
    """What the calls of one run have in common that may share a jail, one after the other: all of this.

    It comes from the runtime alone. A run has one user from its beginning to its end. `callers` are the releases on
    whose behalf they run, the outermost first; `reach` is what they are allowed with them, permissions and hosts: what
    one that may do more has left behind is nothing for one that may do less.
    """

    org: str
    run: str
    installation: str
    release: str
    digest: str
    callers: tuple[str, ...] = ()
    reach: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class JailCall:
    """One action to run once. `secrets` holds handles such as `secret://KEY#nonce`, never values."""

    language: str
    source: str
    filename: str
    action: str
    input: Any
    settings: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    permissions: tuple[str, ...] = ()
    traceparent: str = ""
    limits: Limits = field(default_factory=Limits)
    org: str = ""
    """Whose call it is: organisations take turns."""
    capability: str = ""
    engine: str = ""
    """One of its language's engines; the usual one when empty."""
    libraries: tuple[str, ...] = ()
    strict: bool = False
    """Have an nsjail of its own for this call, whatever tier is usual."""
    depth: int = 0
    """How many calls wait, each in a jail of its own, for this one to end."""
    together: Together | None = None
    """Calls that agree in this, and in all that makes a jail theirs, may share one; None: it has one to itself."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of a plugin's stack, innermost first; line and column count from 1, and 0 is unknown."""

    function: str
    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """What code tried that no jail has: a system call or an interpreter's operation, and the file or host, if any."""

    name: str
    target: str = ""
    told_by: str = "kernel"
    """Or `code`: the interpreter in the jail, which code that has taken it over can silence or have say anything."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call. `value` is set for `ok`; `error_name`, `message` and `stack` say why it is anything else.

    `denied` is the broker's refusal with which a `user_error` ended, when it is one that the broker gave.
    """

    kind: OutcomeKind
    value: Any = None
    error_name: str = ""
    message: str = ""
    stack: tuple[Frame, ...] = ()
    detail: str = ""
    """The signal, the limit or the rule that ended the call."""
    limit: str = ""
    """How much time or room there was, where that ended the call."""
    denied: "BrokerDenied | None" = None
    syscall: str = ""
    """Of a `violation`: the name of the system call, where it is known."""
    attempts: tuple[Attempt, ...] = ()
    """What was refused to it inside the jail, as far as it is known."""
    wall_ms: float = 0.0
    cpu_ms: float = 0.0
    peak_memory_bytes: int = 0
    broker_calls: int = 0
    log_bytes: int = 0

    @property
    def ok(self) -> bool:
        """True when the action returned a value."""
        return self.kind is OutcomeKind.OK


@dataclass(frozen=True, slots=True)
class Taken:
    """A jail took the call: from here on it may have effects."""


@dataclass(frozen=True, slots=True)
class Log:
    """A line that the plugin logged or printed."""

    level: str
    message: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the plugin says it is: a fraction from 0 to 1 and a few words."""

    fraction: float
    message: str


Event = Taken | Log | Progress
OnEvent = Callable[[Event], Awaitable[None]]
"""Takes an event; a jail whose listener is slow waits for it, within its deadline."""


async def ignore(event: Event) -> None:
    """Take an event and do nothing: for calls whose events nobody watches."""


class BrokerDenied(Exception):
    """The broker refused what the plugin asked; the plugin sees the code and the message as an exception.

    `facts` name what was refused (host, method, permission, secret) and what would allow it, for whoever reads the end.
    """

    def __init__(self, code: str, message: str, fix: str = "", **facts: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fix = fix
        self.facts = facts


class Door(Protocol):
    """The only way out of a jail."""

    async def ask(self, service: str, method: str, arguments: Mapping[str, Any], /) -> Any:
        """Answer one request of the plugin with a JSON value, or raise BrokerDenied."""


class ClosedDoor:
    """The door of a jail that has nothing to ask for: while a module is described, or the walls are tested."""

    async def ask(self, service: str, _method: str, _arguments: Mapping[str, Any], /) -> Any:
        """Refuse."""
        raise BrokerDenied("SERVICE_UNKNOWN", f"{service} cannot be used while a module is only loaded")


class Jail(Protocol):
    """Runs strangers' code, each call in a jail of its own."""

    async def run(self, call: JailCall, door: Door, on_event: OnEvent = ignore) -> Outcome:
        """Run one action once.

        Raises InvalidArgument for a name that cannot be an action, ResourceExhausted when the queue is full and
        Unavailable when no jail can be started. Cancelling the awaiting task kills the jail.
        """

    def end_run(self, org: str, run: str) -> None:
        """Let no jail wait for another call of this run."""

    async def describe(
        self, language: str, source: str, filename: str, limits: Limits | None = None, org: str = ""
    ) -> Outcome:
        """Run a module only as far as its header, and return that header as the value of the outcome.

        Of the language's engines the first that is there does it. `org` is who asks: organisations take turns.
        """

    async def strip(self, source: str, filename: str, org: str = "") -> Outcome:
        """Take the types out of TypeScript, running nothing of it; the value of the outcome is JavaScript.

        `org` is who asks. Every line and column stays where it was.
        """

    def engines(self, language: str, strict: bool = False) -> tuple[str, ...]:
        """The engines that are offered for a language, or for its strict calls; none where it has but one."""

    def libraries(self) -> Mapping[str, Layer]:
        """The libraries that are offered to Python, by name."""

    def reasons_not_ready(self) -> list[str]:
        """Say why nothing can be run now, each with what to do about it; empty when all is well."""

    async def start(self) -> None:
        """Build what is needed, test the walls, and start the first jails; failures become reasons not to be ready."""

    async def stop(self) -> None:
        """Kill every jail and leave no process behind."""
