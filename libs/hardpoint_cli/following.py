"""Owns how a run is followed while its server is lost and found again: from where it was, within a deadline."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from hardpoint_cli import screen

if TYPE_CHECKING:
    from hardpoint.runtime.v1 import run_pb2
    from hardpoint_client import Hardpoint

LOST_SECONDS = 120.0
"""How long a server may say nothing at all; an open stream that has nothing new to say is no silence."""
PAUSE_SECONDS = 1.0


async def followed(client: "Hardpoint", name: str) -> AsyncIterator[tuple["run_pb2.Run", Sequence["run_pb2.Step"]]]:
    """A run as it changes and those of its steps that changed, until it has ended.

    Raises what WatchRun does; Unavailable for a server that nobody reached yet, and for one that was lost for longer
    than LOST_SECONDS.
    """
    from hardpoint.runtime.v1 import run_pb2
    from hardpoint_kit.errors import Unavailable

    ended = (run_pb2.RUN_STATE_SUCCEEDED, run_pb2.RUN_STATE_FAILED, run_pb2.RUN_STATE_CANCELLED)
    clock = asyncio.get_running_loop().time
    sequence, known = 0, dict[str, run_pb2.Step]()
    gives_up: float | None = clock() + LOST_SECONDS
    while True:
        # Its last change once more: that one is said at once, and so tells that the server is there.
        request = run_pb2.WatchRunRequest(name=name, sequence=max(0, sequence - 1))
        try:
            changes = aiter(client.runs.WatchRun(request))
            while change := await _within(gives_up, changes):
                gives_up, sequence = None, change.sequence
                news = [step for step in change.steps if known.get(step.name) != step]
                known.update((step.name, step) for step in news)
                yield change.run, news
                if change.run.state in ended:
                    return
        except Unavailable:
            if not sequence:
                raise
        if gives_up is None:
            gives_up = clock() + LOST_SECONDS
            screen.show(Text(f"  lost the server; asking again for {LOST_SECONDS:.0f} seconds"), stderr=True)
        if clock() + PAUSE_SECONDS >= gives_up:
            raise _given_up(name)
        await asyncio.sleep(PAUSE_SECONDS)


async def _within(
    gives_up: float | None, changes: AsyncIterator["run_pb2.WatchRunResponse"]
) -> "run_pb2.WatchRunResponse | None":
    """The next change; None when the stream has ended, or says nothing until then."""
    try:
        async with asyncio.timeout_at(gives_up):
            return await anext(changes, None)
    except TimeoutError:
        return None


def _given_up(name: str) -> Exception:
    from hardpoint_kit.errors import Unavailable

    id = name.rpartition("/")[2]
    return Unavailable(
        f"run {id} is not followed any more: its server said nothing for {LOST_SECONDS:.0f} seconds",
        fix=f"the run goes on by itself; when the server is back: hardpoint watch {id}",
    )
