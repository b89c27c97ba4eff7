"""Owns what becomes of the writes of one execution and of all that runs inside of it: done, planned, or held to a plan.

A dry run does none of them and keeps their plan. A call that is held to a plan does those that are next in it and no
others: after the first that is not, none at all. Pure but for the lock; the broker asks it before each write.
"""

import asyncio
import hashlib
import json
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, Self

DRY: Final = "dry-run/"
"""What the idempotency keys of a dry run begin with, so that they are those of no effect."""
MOST_EFFECTS: Final = 500
MOST_BYTES: Final = 1024 * 1024
"""Of all effects of a plan, as JSON."""


@dataclass(frozen=True, slots=True)
class Effect:
    """A write as a plan has it: where in the execution, which release and action, what is done, to what, with what.

    Effects of one `lane` come one after the other, those of two lanes in any order: steps of a flow run side by side.
    """

    lane: str
    path: str
    release: str
    action: str
    service: str
    operation: str
    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""

    def __str__(self) -> str:
        """For messages, which records keep: what it is and where, and nothing that an input may have brought."""
        inside = f"{self.path}: " if self.path else ""
        where = {"fetch": self.target.partition("/")[0], "db": self.target}.get(self.service, f"({self.service})")
        return f"{inside}{self.operation} {where}"[:200]

    @classmethod
    def of(
        cls, lane: str, path: str, who: tuple[str, str], what: tuple[str, str, str], arguments: Mapping[str, Any]
    ) -> Self:
        """An effect with the digest of all that it is."""
        text = json.dumps([lane, path, *who, *what, arguments], sort_keys=True, separators=(",", ":"))
        return cls(lane, path, *who, *what, arguments, f"sha256:{hashlib.sha256(text.encode()).hexdigest()}")


class NotPlanned(Exception):
    """A write that is not done; `reason` names an ErrorReason."""

    def __init__(self, reason: str, message: str, fix: str, **facts: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.fix = fix
        self.facts = facts


class Ledger:
    """The writes of a whole execution: a plan that is being made, or without `dry_run` one that is kept to."""

    def __init__(self, *, dry_run: bool, expected: Iterable[Effect] = ()) -> None:
        self.dry_run = dry_run
        self.planned: list[Effect] = []
        self.refusal: NotPlanned | None = None
        """The write that was refused since it is not in the plan, or does not fit into it."""
        self._bytes = 0
        self._left: dict[str, deque[Effect]] = {}
        for effect in expected:
            self._left.setdefault(effect.lane, deque()).append(effect)
        self._begun: dict[str, int] = {}

    @property
    def left(self) -> int:
        """How many effects of the plan were not done."""
        return sum(map(len, self._left.values()))

    def begun(self, lane: str) -> int:
        """How many effects a lane has had so far."""
        return self._begun.get(lane, 0)

    def admit(self, effect: Effect) -> bool:
        """Whether to do it: False when it is planned instead. Raises NotPlanned."""
        if self.dry_run:
            self._plan(effect)
        else:
            self._take(effect)
        self._begun[effect.lane] = self.begun(effect.lane) + 1
        return not self.dry_run

    def _plan(self, effect: Effect) -> None:
        self._bytes += len(json.dumps([effect.path, effect.target, effect.arguments]))
        if len(self.planned) >= MOST_EFFECTS or self._bytes > MOST_BYTES:
            self.refusal = NotPlanned(
                "EFFECT_PLAN_LIMIT",
                f"a plan has at most {MOST_EFFECTS} effects, and {MOST_BYTES} bytes",
                "plan less at once: split the work into several calls",
                limit=f"{MOST_EFFECTS} effects",
            )
            raise self.refusal
        self.planned.append(effect)

    def _take(self, effect: Effect) -> None:
        if self.refusal is not None:
            raise self.refusal
        left = self._left.get(effect.lane)
        following = left[0] if left else None
        if left and following is not None and following.digest == effect.digest:
            left.popleft()
            return
        expected = str(following) if following else "nothing"
        differs = ", to another place or with other arguments," if expected == str(effect) else ""
        self.refusal = NotPlanned(
            "EFFECT_NOT_PLANNED",
            f"{effect}{differs} is not what the plan has next, which is {expected}",
            "make the plan anew: dry-run the call, look at it, and call with the new digest",
            effect=str(effect),
            expected=expected,
        )
        raise self.refusal


class Writes:
    """The writes of one execution, in its place of the whole; without a ledger they are simply done."""

    def __init__(self, ledger: Ledger | None = None, path: str = "", lane: str = "") -> None:
        self.ledger = ledger
        self._path = path
        self._lane = lane
        self._turn = asyncio.Lock()

    @property
    def dry_run(self) -> bool:
        """Whether nothing is written."""
        return self.ledger is not None and self.ledger.dry_run

    def in_turn(self) -> AbstractAsyncContextManager[Any]:
        """Wait until what the execution asked for before is done: a plan has an order."""
        return nullcontext() if self.ledger is None else self._turn

    def admit(self, who: tuple[str, str], what: tuple[str, str, str], arguments: Mapping[str, Any]) -> bool:
        """Whether to do a write of a release and action, which is a service, its operation and a target.

        False when it is planned instead. Raises NotPlanned.
        """
        if self.ledger is None:
            return True
        return self.ledger.admit(Effect.of(self._lane, self._path, who, what, arguments))

    def inside(self, path: str, *, beside: bool) -> "Writes":
        """Those of what runs inside as the step of this path; `beside` says that others may run at the same time."""
        if self.ledger is None:
            return self
        whole = f"{self._path}/{path}" if self._path else path
        lane = f"{self._lane}@{self.ledger.begun(self._lane)}/{path}" if beside else self._lane
        return Writes(self.ledger, whole, lane)
