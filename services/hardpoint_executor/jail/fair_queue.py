"""Owns the order in which calls get what they wait for: bounded, and fair between organisations.

Whose calls took least time lately goes first, and organisations that took the same take turns (deficit round robin
that charges a call when it has ended, because what it will use is not known before). What was taken is forgotten by
half every few seconds, so nobody is kept waiting for what is long past. Within an organisation the first to come is the
first to go.

When every place is taken, the organisation that waits with most calls pays: its newest call loses its place to a
newcomer, or, when it is the one that asks, its new call is refused. A cap for each organisation would do with less,
but would leave places empty whenever only one organisation has work, which on a laptop is always.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator
from itertools import chain
from typing import Generic, TypeVar

from hardpoint_kit.errors import ResourceExhausted

T = TypeVar("T")

_RETRY_SECONDS = 1.0
_HALF_SECONDS = 10.0
_NOTHING_SECONDS = 0.0001


class FairQueue(Generic[T]):
    """At most `most` items wait, whoever they belong to; `for_what` is said to those who find no place."""

    def __init__(self, most: int, for_what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._for_what = for_what
        self._clock = clock
        self._taken: dict[str, tuple[float, float]] = {}
        """Seconds that each organisation's calls took, as of a time."""
        self._turns: OrderedDict[str, deque[T]] = OrderedDict()
        """Organisations with something waiting, the next one first."""

    def __len__(self) -> int:
        return sum(len(items) for items in self._turns.values())

    def __bool__(self) -> bool:
        return bool(self._turns)

    def put(self, org: str, item: T, *, first: bool = False) -> T | None:
        """Let an item wait, before all others of its organisation when it goes `first`.

        Returns the item that lost its place for it, whose owner is to be told `full()`, or None.

        Raises ResourceExhausted QUEUE_FULL when there is no place that another organisation owes to this one.
        """
        evicted = None
        if len(self) >= self._most:
            longest = max(self._turns.values(), key=len, default=deque[T]())
            if len(longest) <= len(self._turns.get(org, ())) + 1:
                raise self.full()
            evicted = longest.pop()  # more than one waits there, so the organisation keeps its turn
        items = self._turns.setdefault(org, deque())
        if first:
            items.appendleft(item)
        else:
            items.append(item)
        return evicted

    def pop(self, may: Callable[[T], bool] = lambda _: True) -> T | None:
        """Take the next item by turns, of those that `may` be served now; None when there is none.

        An organisation that is passed over keeps its turn.
        """
        for org in sorted(self._turns, key=self.taken):
            items = self._turns[org]
            item = next(filter(may, items), None)
            if item is not None:
                items.remove(item)
                del self._turns[org]
                if items:
                    self._turns[org] = items
                return item
        return None

    def charge(self, org: str, seconds: float) -> None:
        """Say how long a call of an organisation took."""
        self._taken[org] = self.taken(org) + seconds, self._clock()
        if len(self._taken) > self._most:
            self._taken = {org: at for org, at in self._taken.items() if self.taken(org) > _NOTHING_SECONDS}

    def taken(self, org: str) -> float:
        """Seconds that an organisation's calls took lately."""
        seconds, at = self._taken.get(org, (0.0, 0.0))
        return seconds * 0.5 ** ((self._clock() - at) / _HALF_SECONDS) if seconds else 0.0

    def __iter__(self) -> Iterator[T]:
        return chain.from_iterable(self._turns.values())

    def remove(self, item: T) -> bool:
        """Take out an item whose owner waits no longer; false when it does not wait."""
        for org, items in self._turns.items():
            if item in items:
                items.remove(item)
                if not items:
                    del self._turns[org]
                return True
        return False

    def full(self) -> ResourceExhausted:
        """What an owner is told who found no place, lost it, or waited too long."""
        return ResourceExhausted(
            f"queue full: every {self._for_what} is busy", reason="QUEUE_FULL", retry_after=_RETRY_SECONDS
        )


def may_run(org: str, running: Collection[str], most: int) -> bool:
    """Whether an organisation may have one of the places that are free, the others taken by those that are `running`.

    The last quarter of the places goes to organisations that run nothing.
    """
    return most - len(running) > most // 4 or org not in running
