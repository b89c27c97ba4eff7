"""Owns telling the marketplace of installations, without an installation ever waiting for the marketplace."""

import asyncio
import contextlib

import structlog

from hardpoint_kit.background import Background
from hardpoint_kit.caller import SYSTEM, acting_as
from hardpoint_kit.errors import HardpointError
from hardpoint_runtime.peers import Marketplace
from hardpoint_runtime.store import Store
from hardpoint_runtime.store.announcements import Announcement

BATCH = 100
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0

_log = structlog.stdlib.get_logger(__name__)


class Announcer:
    """Says what was written down with each installation, at the start and after `wake`, until it was heard.

    What two processes both say is counted once, so they need not agree who speaks.
    """

    def __init__(self, store: Store, marketplace: Marketplace) -> None:
        self._store = store
        self._marketplace = marketplace
        self._woken = asyncio.Event()
        self._saying = Background(self._say_forever)

    async def start(self) -> None:
        """Say what is still unsaid, and listen for more."""
        self._saying.start()

    async def stop(self) -> None:
        """Stop; what is unsaid stays written down."""
        await self._saying.stop()

    def wake(self) -> None:
        """There is something new to say."""
        self._woken.set()

    async def _say_forever(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            self._woken.clear()
            pause = FIRST_PAUSE_SECONDS if await self._say_all() else min(2 * pause, LONGEST_PAUSE_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    async def _say_all(self) -> bool:
        """Say what is unsaid; false when something still is."""
        last = 0
        all_said = True
        try:
            while pending := await self._pending(last):
                for announcement in pending:
                    all_said &= await self._say(announcement)
                last = pending[-1].id
        except HardpointError as error:
            _log.warning("cannot read what to tell the marketplace", reason=error.reason, problem=error.message)
            return False
        return all_said

    async def _pending(self, after: int) -> list[Announcement]:
        async with self._store.transaction(SYSTEM()) as tx:
            return await tx.announcements.pending(after, BATCH)

    async def _say(self, announcement: Announcement) -> bool:
        try:
            with acting_as(SYSTEM(announcement.installation.org)):
                await self._marketplace.record_installation(announcement.installation, announcement.capability)
        except HardpointError as error:
            _log.warning(
                "marketplace not told of an installation",
                installation=str(announcement.installation),
                reason=error.reason,
                problem=error.message,
            )
            return False
        async with self._store.transaction(SYSTEM()) as tx:
            await tx.announcements.said(announcement)
        return True
