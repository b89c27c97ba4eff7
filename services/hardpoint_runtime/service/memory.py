"""Owns values that cost a call to make and are good for a while: snapshots, leases, tickets."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memory(Generic[K, V]):
    """Values by key, each made once however many ask for it meanwhile, the oldest forgotten beyond `capacity`.

    What is remembered is the making itself, so that a value dropped while it is being made is never given to somebody
    who asks after the drop. `usable` decides whether a finished value may still be given.
    """

    def __init__(self, usable: Callable[[V], bool], capacity: int) -> None:
        self._usable = usable
        self._capacity = capacity
        self._making: OrderedDict[K, asyncio.Task[V]] = OrderedDict()

    async def get(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        """The value of this key, made now unless it is remembered; raises what `make` raises, and remembers no error.

        One asker's cancellation leaves the making to the others.
        """
        task = self._making.get(key)
        if task is None or (task.done() and not self._good(task)):
            task = asyncio.ensure_future(_made(make))
            self._making[key] = task
            self._making.move_to_end(key)
            if len(self._making) > self._capacity:
                self._making.popitem(last=False)
        return task.result() if task.done() else await asyncio.shield(task)

    def drop(self, key: K) -> None:
        """Forget one value."""
        self._making.pop(key, None)

    def drop_where(self, stale: Callable[[V], bool]) -> None:
        """Forget the values that are stale, and those being made, of which nobody can tell yet."""
        for key, task in list(self._making.items()):
            if not task.done() or not self._good(task) or stale(task.result()):
                del self._making[key]

    def drop_keys(self, which: Callable[[K], bool]) -> None:
        """Forget the values of some keys."""
        for key in [key for key in self._making if which(key)]:
            del self._making[key]

    def clear(self) -> None:
        """Forget everything."""
        self._making.clear()

    def _good(self, task: asyncio.Task[V]) -> bool:
        return not task.cancelled() and task.exception() is None and self._usable(task.result())


async def _made(make: Callable[[], Awaitable[V]]) -> V:
    return await make()
