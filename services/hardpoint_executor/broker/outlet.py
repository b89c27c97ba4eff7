"""What comes out of an execution: answers into the jail, then output, lines and errors out of it, without secrets.

The values never enter the jail. An upstream that repeats them in an encoding of its own is the way by which they could,
so nothing is looked for until the broker has had an answer.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

from hardpoint_executor.broker.scrub import Scrubber, Unfit, Watched
from hardpoint_executor.broker.spellings import skeleton
from hardpoint_kit.errors import ActionFailed, HardpointError

REMEMBERED: Final = 512
"""Letters and digits of the lines before that are read together with a line: a secret may come a letter at a time."""
IN_LOOP: Final = 64 * 1024
"""Bytes; what is larger is searched on a thread."""

_FEW_WORDS: Final = 300
_LOOKED_AT: Final = 8192
"""Characters of what an upstream said."""

T = TypeVar("T")


class Outlet:
    """Scrubs what one execution takes in and gives out."""

    def __init__(self, watched: Iterable[Watched]) -> None:
        self._scrubber = Scrubber(watched)
        self._answered = False
        self._before = b""
        self._turns = asyncio.Semaphore(1)
        """One large text at a time: a search goes on when nobody waits for it any more, and threads are everybody's."""

    async def is_clean(self, data: bytes) -> bool:
        """Whether an upstream's bytes hold no secret, which nearly all do not: looked through once."""
        self._answered = True
        return await self._away(len(data), lambda: self._scrubber.is_clean(data))

    async def answer(self, data: bytes) -> bytes:
        """An upstream's bytes; raises Unfit."""
        self._answered = True
        return await self._away(len(data), lambda: self._scrubber.scrub(data))

    async def output(self, value: Any) -> Any:
        """An output; raises ActionFailed OUTPUT_HOLDS_SECRET when a secret cannot be cut out of it."""
        if not self._watching:
            return value
        try:
            size = len(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
            return await self._away(size, lambda: self._output(value))
        except Unfit as unfit:
            raise ActionFailed(
                f"the output holds the secret {unfit.key} in an encoding, and is withheld",
                reason="OUTPUT_HOLDS_SECRET",
                fix="return what was computed, never what an upstream repeats of a request",
                secret=unfit.key,
            ) from None

    async def holds(self, data: bytes) -> str:
        """The key of a secret that is in what an execution would keep outside, empty when there is none."""
        if not self._watching:
            return ""
        found = await self._away(len(data), lambda: self._scrubber.in_bytes(data))
        return found.key if found else ""

    async def found_in(self, value: Any) -> str:
        """The key of a secret that is in a JSON value, whoever put it there; empty when there is none."""
        if not self._scrubber.watches:
            return ""
        whole = _whole(value)
        found = await self._away(len(whole), lambda: self._scrubber.in_bytes(whole))
        return found.key if found else ""

    async def value(self, value: Any) -> Any:
        """An upstream's answer that is JSON; raises Unfit."""
        self._answered = True
        if not self._scrubber.watches:
            return value
        size = len(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
        return await self._away(size, lambda: self._output(value))

    def said(self, text: str) -> str:
        """What an upstream said, in a few words: cut when no secret is in it, for half of one would not be found."""
        self._answered = True
        return self._text(text[:_LOOKED_AT])[:_FEW_WORDS]

    def line(self, text: str) -> str:
        """A line of a log, of what was printed or of progress; withheld when a secret cannot be cut out of it."""
        if not self._watching:
            return text
        text = self._text(text)
        said = (self._before + skeleton(text.encode(errors="replace")))[-REMEMBERED:]
        if (found := self._scrubber.found(said)) is not None:
            return f"[withheld: with the lines before it, it spells the secret {found.key}]"
        self._before = said
        return text

    def error(self, error: HardpointError) -> HardpointError:
        """The same error with its texts scrubbed; those of the jail's own making are among them."""
        if self._watching:
            error.message, error.fix, error.place = map(self._text, (error.message, error.fix, error.place))
            error.args = (error.message,)
            error.metadata = {self._text(name): self._text(value) for name, value in error.metadata.items()}
            error.violations = {self._text(name): self._text(value) for name, value in error.violations.items()}
        return error

    def named(self, text: str) -> str:
        """A text that names what was refused, such as the host that an upstream redirects to; for the security log."""
        return self._text(text) if self._scrubber.watches else text

    async def _away(self, size: int, work: Callable[[], T]) -> T:
        if size <= IN_LOOP:
            return work()
        await self._turns.acquire()
        search = asyncio.create_task(asyncio.to_thread(work))
        search.add_done_callback(self._searched)
        return await asyncio.shield(search)

    def _searched(self, search: asyncio.Task[Any]) -> None:
        self._turns.release()
        if not search.cancelled():
            search.exception()  # whoever waited for it may be gone

    @property
    def _watching(self) -> bool:
        return self._answered and self._scrubber.watches

    def _output(self, value: Any) -> Any:
        if self._scrubber.is_clean(_whole(value)):
            return value
        scrubbed = self._scrubber.scrub_json(value)
        # Its parts are clean now; put together they may still spell what none of them holds.
        if (found := self._scrubber.found(_whole(scrubbed))) is not None:
            raise Unfit(found.key)
        return scrubbed

    def _text(self, text: str) -> str:
        try:
            return self._scrubber.scrub_text(text)
        except Unfit as unfit:
            return f"[withheld: it holds the secret {unfit.key} in an encoding]"


def spoken(data: bytes) -> bytes:
    """The texts and numbers of a message that is JSON, one after the other; any other as it is."""
    try:
        value = json.loads(data)
        return "".join(_leaves(value)).encode(errors="replace") if isinstance(value, dict | list) else data
    except (ValueError, RecursionError):
        return data


def _whole(value: Any) -> bytes:
    """A JSON value as one text: as it is written, and its texts and numbers alone, one after the other."""
    return f"{json.dumps(value, ensure_ascii=False)}\n{' '.join(_leaves(value))}".encode(errors="replace")


def _leaves(value: Any) -> Iterator[str]:
    """The texts and numbers of a JSON value, in order, without the names of members."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _leaves(part)
    elif value is not None:
        yield str(value)
