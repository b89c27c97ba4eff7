"""The tape of one execution: what its brokers do outside is written down, or given back from a cassette.

An effect comes to the tape after every check of the manifest's authority, in place of leaving: so
what a cassette says can make nothing allowed, and an execution that is replayed reaches nobody. Effects without a tape
never come here.
"""

import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hardpoint_executor.broker.denial import BrokerDenied, DenialCode, Quoting
from hardpoint_manifest.cassette import MOST_BYTES, Call, Cassette, Refusal, asked

Perform = Callable[[], Awaitable[Any]]
"""Does an effect, and gives its answer as JSON; raises BrokerDenied."""

_SHOWN = 300


class Tape(Protocol):
    """Where the effects of an execution go instead of outside."""

    @property
    def nonce(self) -> str:
        """That of its handles of secrets, in place of a random one."""

    async def effect(self, service: str, method: str, arguments: Mapping[str, Any], perform: Perform) -> Any:
        """The answer to an effect; raises BrokerDenied."""

    def inside(self, path: str) -> "Tape":
        """The tape of a step of the same execution."""


@dataclass(slots=True)
class Recording:
    """Does what is asked and writes it down. Steps write to one list, in the order in which they ask."""

    seed: str = field(default_factory=lambda: secrets.token_hex(16))
    at: str = ""
    whole: "Recording | None" = None
    size: int = 0
    _calls: list[dict[str, Any]] = field(default_factory=list)

    @property
    def nonce(self) -> str:
        """See Tape."""
        return _nonce(self.seed, self.at)

    def inside(self, path: str) -> "Recording":
        """See Tape."""
        return Recording(self.seed, path, self.whole or self)

    async def effect(self, service: str, method: str, arguments: Mapping[str, Any], perform: Perform) -> Any:
        """See Tape."""
        book = self.whole or self
        call: dict[str, Any] = {"at": self.at, "service": service, "method": method, "unfinished": True}
        book._write(call, arguments=arguments)
        try:
            answer = await perform()
        except BrokerDenied as denied:
            told = {"code": str(denied.code), "message": denied.message, "fix": denied.fix, "facts": denied.facts}
            book._write(call, error=told, unfinished=False)
            raise
        book._write(call, answer=answer, unfinished=False)
        return answer

    def _write(self, call: dict[str, Any], **parts: Any) -> None:
        """Add to what is known of a call, as it is now; beyond the bound only the size is counted on."""
        text = json.dumps(parts, ensure_ascii=False)
        self.size += len(text)
        if self.size <= MOST_BYTES:
            if "arguments" in parts:
                self._calls.append(call)
            call |= json.loads(text)

    @property
    def calls(self) -> tuple[Call, ...]:
        """What was done."""
        return tuple(Call.model_validate(call) for call in self._calls)


@dataclass(slots=True)
class Replaying:
    """Gives back what was recorded. A call is the first one of its step that asked the same and was not given back yet.

    So calls that a plugin makes side by side may come in another order than they came when they were recorded.
    """

    cassette: Cassette
    at: str = ""
    whole: "Replaying | None" = None
    diverged: str = ""
    """How the execution differs from the one that was recorded; empty while it does not."""
    _left: dict[int, tuple[str, Call]] = field(default_factory=dict)
    """By number, with what each asks: spelled out once, since a plugin may ask often, of a cassette of any length."""
    _made: int = 0

    def __post_init__(self) -> None:
        if self.whole is None:
            self._left = {number: (call.asked, call) for number, call in enumerate(self.cassette.calls, 1)}

    @property
    def nonce(self) -> str:
        """See Tape."""
        return _nonce(self.cassette.nonce, self.at)

    def inside(self, path: str) -> "Replaying":
        """See Tape."""
        return Replaying(self.cassette, path, self.whole or self)

    async def effect(self, service: str, method: str, arguments: Mapping[str, Any], _perform: Perform) -> Any:
        """See Tape."""
        book = self.whole or self
        book._made += 1
        wanted = asked(service, method, json.loads(json.dumps(arguments)))
        number = next((number for number, recorded in book._of(self.at) if recorded == wanted), None)
        if number is None:
            raise book._divergence(self.at, wanted)
        _, call = book._left.pop(number)
        if call.error is not None:
            error = call.error
            raise Quoting(error.code, error.message, error.fix, **_facts(error))
        if call.unfinished:
            raise Quoting("CANCELLED", "the execution that was recorded ended before this call")
        # A copy: what an execution does to an answer must not be in the cassette.
        return json.loads(json.dumps(call.answer))

    def ended(self) -> str:
        """How the execution differs, now that it is over: what was recorded and never asked for is a difference too."""
        if not self.diverged and self._left:
            number, (recorded, call) = next(iter(self._left.items()))
            self.diverged = f"call {number} was recorded and not made: {_shown(recorded)}{_place(call.at)}"
        return self.diverged

    def _of(self, at: str) -> Iterator[tuple[int, str]]:
        return ((number, recorded) for number, (recorded, call) in self._left.items() if call.at == at)

    def _divergence(self, at: str, wanted: str) -> BrokerDenied:
        recorded = next((f"call {number}, {_shown(text)}" for number, text in self._of(at)), "no further call")
        self.diverged = self.diverged or (
            f"call {self._made} asks {_shown(wanted)}{_place(at)}; recorded is {recorded}"
        )
        return Quoting(DenialCode.REPLAY_DIVERGED, self.diverged, RECORD_AGAIN)


RECORD_AGAIN = "if the new call is meant, record again: hardpoint test FILE --record"


def _facts(error: Refusal) -> dict[str, str]:
    """Less those that are no facts of a refusal: whoever has a cassette may have written any."""
    return {name: fact for name, fact in error.facts.items() if name not in ("self", "code", "message", "fix")}


def _nonce(seed: str, at: str) -> str:
    """Another one for each step, since what one step gives is only text to the next."""
    return hashlib.sha256(f"{seed}/{at}".encode()).hexdigest()[:32]


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _place(at: str) -> str:
    return f" in {at}" if at else ""
