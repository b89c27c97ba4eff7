"""Owns what becomes of the writes of one execution and of all that runs inside of it: done, planned, or held to a plan.

A dry run does none of them and keeps their plan. A call that is held to a plan does those that are next in it and no
others: after the first that is not, none at all. Such a call is in the dry run's circumstances: what its code is told
of the time, and what models answer, is what it was then, so it can write the same. The broker asks before each write.
"""

import asyncio
import hashlib
import json
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Self

DRY: Final = "dry-run/"
"""What the idempotency keys of a dry run begin with, so that they are those of no effect."""
MOST_EFFECTS: Final = 500
MOST_BYTES: Final = 1024 * 1024
"""Of all effects of a plan, as JSON."""
MOST_ANSWERED: Final = 4 * 1024 * 1024
"""Characters of what models answered that are kept for a plan; beyond them they are asked anew."""


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


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What an execution meets that another one would not: the moment, chance, and what models `answered`, as JSON.

    Each answer stands with the digest of its question.
    """

    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    seed: str = field(default_factory=lambda: secrets.token_hex(16))
    answered: tuple[tuple[str, str], ...] = ()


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

    def __init__(
        self, *, dry_run: bool, expected: Iterable[Effect] = (), circumstances: Circumstances | None = None
    ) -> None:
        self.dry_run = dry_run
        self.met = circumstances or Circumstances()
        """Those of the dry run."""
        self._answers: dict[str, deque[str]] = {}
        for question, answer in self.met.answered:
            self._answers.setdefault(question, deque()).append(answer)
        self._answered: list[tuple[str, str]] = []
        self._characters = 0
        self.planned: list[Effect] = []
        self.refusal: NotPlanned | None = None
        """The write that was refused since it is not in the plan, or does not fit into it."""
        self._bytes = 0
        self._left: dict[str, deque[Effect]] = {}
        for effect in expected:
            self._left.setdefault(effect.lane, deque()).append(effect)
        self._begun: dict[str, int] = {}

    @property
    def circumstances(self) -> Circumstances:
        """What it met, for what is to be held to its plan."""
        return replace(self.met, answered=tuple(self._answered))

    def recall(self, question: str) -> str | None:
        """What a model answered in the dry run to the same question, each time that it was asked; None from then on."""
        answers = self._answers.get(question)
        return answers.popleft() if answers else None

    def remember(self, question: str, answer: str) -> None:
        """Keep what a model answered."""
        self._characters += len(answer)
        if self._characters <= MOST_ANSWERED:
            self._answered.append((question, answer))

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

    def moment(self, key: str) -> dict[str, str]:
        """What code may take for the time and for chance: `at`, and a `seed`, which are those of the plan.

        Without one the seed is that of all attempts with a `key`.
        """
        met = Circumstances() if self.ledger is None else self.ledger.met
        of = key if key and self.ledger is None else f"{met.seed}/{self._path}"
        at = met.at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return {"at": at, "seed": hashlib.sha256(of.encode()).hexdigest()[:32]}

    async def answered(self, asked: Any, perform: Callable[[], Awaitable[Any]]) -> Any:
        """What a model answers to what it is asked here: in the dry run it is kept, and then given again.

        Where there is nothing to be given again the model is asked; it writes nothing.
        """
        if self.ledger is None:
            return await perform()
        text = json.dumps([self._path, asked], sort_keys=True, separators=(",", ":"))
        question = hashlib.sha256(text.encode()).hexdigest()
        if (known := self.ledger.recall(question)) is not None:
            return json.loads(known)
        answer = await perform()
        if self.dry_run:
            self.ledger.remember(question, json.dumps(answer))
        return answer

    def inside(self, path: str, *, beside: bool) -> "Writes":
        """Those of what runs inside as the step of this path; `beside` says that others may run at the same time."""
        if self.ledger is None:
            return self
        whole = f"{self._path}/{path}" if self._path else path
        lane = f"{self._lane}@{self.ledger.begun(self._lane)}/{path}" if beside else self._lane
        return Writes(self.ledger, whole, lane)
