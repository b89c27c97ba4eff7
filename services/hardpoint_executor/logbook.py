"""Owns what is kept of the lines that one execution logs: the first ones, and how many came after them."""

from hardpoint_executor.domain import Event, Log

MOST_LINES = 200
MOST_BYTES = 16 * 1024


class Logbook:
    """Hears what an execution tells."""

    def __init__(self) -> None:
        self._kept: list[Log] = []
        self._bytes = 0
        self._left_out = 0

    def hear(self, event: Event) -> None:
        """Keep a line that was logged, as long as there is room."""
        if not isinstance(event, Log):
            return
        size = len(event.message.encode())
        if self._left_out or len(self._kept) == MOST_LINES or self._bytes + size > MOST_BYTES:
            self._left_out += 1
            return
        self._bytes += size
        self._kept.append(event)

    @property
    def lines(self) -> tuple[Log, ...]:
        """What is kept."""
        more = (Log("warning", f"{self._left_out} more lines were logged"),) if self._left_out else ()
        return (*self._kept, *more)
