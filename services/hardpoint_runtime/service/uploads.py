"""Owns that uploads come to triggers: each once to every trigger that waits for files, over restarts and processes.

Where the news was heard up to is kept with what was written for it; what two processes both hear is written once.
"""

import json

from hardpoint_kit.background import Looks
from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.clock import Clock
from hardpoint_manifest.events import UPLOADED
from hardpoint_runtime.domain.deliveries import Delivery
from hardpoint_runtime.domain.triggers import Trigger
from hardpoint_runtime.peers import Files, Upload
from hardpoint_runtime.service.dispatcher import Dispatcher
from hardpoint_runtime.service.room import Arrivals
from hardpoint_runtime.store import Store, Transaction

PAUSE_SECONDS = 1.0
"""Until it is listened again, where that ended."""


class Uploads:
    """Hears of uploads and writes a delivery for each trigger of the file's org that waits for one."""

    def __init__(self, store: Store, files: Files, dispatcher: Dispatcher, clock: Clock) -> None:
        self._store = store
        self._files = files
        self._dispatcher = dispatcher
        self._clock = clock
        self._arrivals = Arrivals()
        self._listening = Looks(self._listen, PAUSE_SECONDS, "uploads")

    async def start(self) -> None:
        """Listen from now on, and from where listening ended before."""
        self._listening.start()

    async def stop(self) -> None:
        """Stop; what is uploaded meanwhile is heard of later."""
        await self._listening.stop()

    async def _listen(self) -> bool:
        """Hear of uploads until nobody tells of them any more."""
        async with self._store.transaction(SYSTEM()) as tx:
            after = await tx.deliveries.heard()
        async for uploads, cursor in self._files.uploads(after):
            async with self._store.transaction(SYSTEM()) as tx:
                for upload in uploads:
                    for trigger in await tx.triggers.waiting_for(upload.org, UPLOADED):
                        await self._write(tx, trigger, upload)
                await tx.deliveries.hear(cursor)
            if uploads:
                self._dispatcher.wake()
        return False

    async def _write(self, tx: Transaction, trigger: Trigger, upload: Upload) -> None:
        body = json.dumps({"file": dict(upload.handle)}).encode()
        delivery = Delivery.of(trigger.name, body, {}, self._clock.now(), provider_id=upload.handle["id"])
        await self._arrivals.write(tx, delivery.judged(trigger, delivery.variables(trigger)))
