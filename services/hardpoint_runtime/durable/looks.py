"""Owns when this process looks into the queue: at once when something came, often for a while after, seldom at rest.

DBOS looks in a thread that waits on an event between two looks, for as long as its queue says. Here that thread and
that event are ours.
"""

import threading
from collections.abc import Callable

from dbos import DBOS, Queue
from dbos._queue import queue_worker_thread

BUSY_SECONDS = 0.1
"""Between two looks while what ended may make room for what waits."""
APART_SECONDS = 0.02
"""At least, however much comes: what comes together is taken together."""
AGAIN_SECONDS = 1.0


class Looks:
    """Looks into the queue from `start` to `stop`, and after `wake`; `busy` says whether to look often."""

    def __init__(self, busy: Callable[[], bool]) -> None:
        self._pause = _Pause(busy)
        self._thread: threading.Thread | None = None

    def start(self, dbos: DBOS, queue: Queue) -> None:
        """Begin; at rest, as often as the queue says."""
        self._thread = threading.Thread(target=self._look_forever, args=(dbos, queue), name="looks", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop; blocks while it takes something."""
        self._pause.set()
        if self._thread is not None:
            self._thread.join()

    def wake(self) -> None:
        """Something came."""
        self._pause.wake()

    def _look_forever(self, dbos: DBOS, queue: Queue) -> None:
        while not self._pause.is_set():
            # It returns when the queue is gone, which is then made again.
            queue_worker_thread(self._pause, dbos, queue)
            self._pause.wait(AGAIN_SECONDS)


class _Pause(threading.Event):
    """Set when it is over for good; a wait for it is over also when there is news."""

    def __init__(self, busy: Callable[[], bool]) -> None:
        super().__init__()
        self._busy = busy
        self._news = threading.Event()

    def set(self) -> None:
        super().set()
        self._news.set()

    def wake(self) -> None:
        self._news.set()

    def wait(self, timeout: float | None = None) -> bool:
        if self.is_set():
            return True
        if self._news.wait(BUSY_SECONDS if self._busy() else timeout):
            super().wait(APART_SECONDS)
        self._news.clear()
        return self.is_set()
