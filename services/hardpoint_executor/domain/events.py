"""What happens during an execution, what it used, and its end with all that ran inside."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from hardpoint_executor.domain.outcomes import Outcome
from hardpoint_executor.writes import Circumstances, Effect
from hardpoint_kit.errors import HardpointError
from hardpoint_manifest.authority import Authority


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
    wrote: bool = True
    """Whether something may have changed outside."""
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
