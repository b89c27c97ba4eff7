"""What one jail says keeps the event loop from nobody, however much it says at once."""

import asyncio
import os

from hardpoint_executor.jail import Event, Limits, OutcomeKind, frames
from hardpoint_executor.jail.conversation import Conversation

from .conftest import RecordedDoor

FRAMES = 640


class Said:
    """A process that has said everything before anybody listens; its channel takes what is written to it."""

    def __init__(self, *said: dict[str, object]) -> None:
        self.reader = asyncio.StreamReader()
        self.reader.feed_data(b"".join(map(frames.encode, said)))
        self.reader.feed_eof()
        self.writer = self
        self.output, printed = os.pipe2(os.O_NONBLOCK)
        os.close(printed)

    def write(self, _data: bytes) -> None: ...

    def limit_memory(self, _bytes: int) -> None: ...

    def cpu_ms(self) -> float:
        return 0.0

    def peak_memory_bytes(self) -> int:
        return 0

    def refused(self) -> tuple[str, ...]:
        return ()

    def kill(self) -> None: ...


async def test_a_flood_of_small_frames_lets_others_have_their_turn(door: RecordedDoor) -> None:
    line: dict[str, object] = {"log": {"level": "info", "message": "x"}}
    process = Said(*[line] * FRAMES, {"result": {"value": None}})
    turns = 0

    async def another() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    told: list[int] = []

    async def listener(_event: Event) -> None:
        told.append(turns)

    other = asyncio.create_task(another())
    try:
        limits = Limits(log_bytes=1024 * 1024)
        outcome = await Conversation(process, limits, door, listener).hold(b"", "result")
    finally:
        other.cancel()
        os.close(process.output)
    assert outcome.kind is OutcomeKind.OK
    assert len(told) == FRAMES
    assert max(told.count(turn) for turn in set(told)) <= 16
