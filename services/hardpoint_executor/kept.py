"""Owns values that are worth keeping: loaded once however many ask at the same time, dropped when old or least used."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from hardpoint_kit.clock import Clock

T = TypeVar("T")


@dataclass(slots=True)
class _Entry(Generic[T]):
    loading: "asyncio.Future[T]" = field(init=False)
    until: datetime | None = None


class Kept(Generic[T]):
    """Values by key, at most `most` of them; a failed load is not kept."""

    def __init__(self, clock: Clock, most: int) -> None:
        self._clock = clock
        self._most = most
        self._entries: OrderedDict[str, _Entry[T]] = OrderedDict()

    async def get(self, key: str, load: Callable[[], Awaitable[tuple[T, datetime | None]]]) -> T:
        """The value of `key`; `load` gives it with the time (UTC) until which it may be kept, None for ever."""
        entry = self._entries.get(key)
        if entry is None or (entry.until is not None and entry.until <= self._clock.now()):
            entry = self._entries[key] = _Entry()
            entry.loading = asyncio.ensure_future(self._load(key, entry, load))
        self._entries.move_to_end(key)
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)
        if entry.loading.done():
            return entry.loading.result()
        # The load belongs to all who wait for it: one of them going away must not stop it.
        return await asyncio.shield(entry.loading)

    async def _load(self, key: str, entry: _Entry[T], load: Callable[[], Awaitable[tuple[T, datetime | None]]]) -> T:
        try:
            value, entry.until = await load()
        except BaseException:
            if self._entries.get(key) is entry:
                del self._entries[key]
            raise
        return value
