"""Owns DBOS in this process: launched and destroyed with the unit, and the care for stretches of processes that died.

DBOS is one for each process, so a process serves one runtime that walks workflows. It keeps its tables in a schema of
its own in the runtime's database, and makes them with the unit's role, which owns the database and needs no more.
"""

import asyncio
import contextlib
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy.exc
import structlog
from dbos import DBOS, DBOSClient, DBOSConfig
from sqlalchemy import text

from hardpoint_kit.background import Background
from hardpoint_kit.caller import ANY_ORG
from hardpoint_kit.database import Database
from hardpoint_kit.errors import Conflict, HardpointError
from hardpoint_kit.names import RunName
from hardpoint_kit.writer import Writer
from hardpoint_runtime.durable.looks import Looks
from hardpoint_runtime.durable.serializer import JsonSerializer, refuse_pickles
from hardpoint_runtime.durable.stretches import (
    APPLICATION,
    INTERPRETER,
    QUEUE,
    SCHEMA,
    STRETCH,
    Stretch,
    database_of,
)

AT_ONCE = 64
"""Stretches that this process walks at once."""
AT_ONCE_OF_ORG = 8
"""Of them and of those of all other processes, those of one org."""
REST_SECONDS = 0.5
"""Between two looks into the queue while nothing happens; what is put there says so."""
LINGER_SECONDS = 1.0
"""How long a process looks often after something came or ended: DBOS makes room when it has written the end."""
BEAT_SECONDS = 0.5
DEAD_SECONDS = 2.5
"""A process that has been silent for so long is taken for dead; if it lives, what it still writes is refused."""
DATABASE_CONNECTIONS = 8
MEND_BEATS = 40

Walk = Callable[[Stretch], Awaitable[None]]

# One statement, since it is all that a process at rest does here.
_BEAT = """
    WITH beat AS (
        INSERT INTO workers (worker, beat_at) VALUES (%(worker)s, clock_timestamp())
        ON CONFLICT (worker) DO UPDATE SET beat_at = clock_timestamp()
    )
    SELECT to_regclass('dbos.workflow_status') IS NOT NULL, array(
        SELECT worker FROM workers
        WHERE worker <> %(worker)s AND beat_at < clock_timestamp() - make_interval(secs => %(dead)s))
"""
_GONE = text("DELETE FROM workers WHERE worker = :worker")

_log = structlog.stdlib.get_logger(__name__)
_walk: Walk | None = None


@DBOS.workflow(name=STRETCH)
async def _stretch(org: str, run: str, number: int) -> None:
    assert _walk is not None
    await _walk(Stretch(RunName(org, run), number))


class Engine:
    """DBOS, walking stretches with `walk` on this event loop from `start` to `stop`.

    `mend` is called when DBOS may have forgotten stretches that runs are waiting for: at the start, after its tables
    were lost and made again, and now and then.
    """

    def __init__(self, url: str, database: Database, mend: Callable[[], Awaitable[None]]) -> None:
        self.worker = secrets.token_hex(8)
        self._url = database_of(url)
        self._database = database
        self._mend = mend
        self._client: DBOSClient | None = None
        self._caring = Background(self._care_forever)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="durable")
        self._reason = ""
        self._owns = False
        self._writer = Writer(url)
        self._looks = Looks(self._is_busy)
        self._busy_until = 0.0

    async def start(self, walk: Walk) -> None:
        """Make the tables of DBOS, launch it and take what is queued; raises Conflict when this process has one."""
        global _walk
        if _walk is not None:
            raise Conflict("this process walks workflows already", fix="serve one runtime in each process")
        _walk = self._walked(walk)
        self._owns = True
        refuse_pickles()
        await self._make_tables()
        await self._beat()
        dbos = DBOS(
            config=DBOSConfig(
                name=APPLICATION,
                system_database_url=self._url,
                dbos_system_schema=SCHEMA,
                serializer=JsonSerializer(),
                application_version=INTERPRETER,
                executor_id=self.worker,
                run_migrations=False,
                enable_otlp=False,
                log_level="WARNING",
                sys_db_pool_size=DATABASE_CONNECTIONS,
                notification_coalesce_sec=REST_SECONDS,  # of events of its own, which nothing here has
            )
        )
        DBOS.listen_queues([])  # we look ourselves
        # Not in a thread: it adopts the loop that it is launched on, and stretches use what belongs to this one.
        DBOS.launch()
        self._client = DBOSClient(
            system_database_url=self._url,
            dbos_system_schema=SCHEMA,
            serializer=JsonSerializer(),
            application_name=APPLICATION,
            lazy=True,
            retry_connection_errors=False,
        )
        await self._register()
        queue = await DBOS.retrieve_queue_async(QUEUE)
        assert queue is not None
        self._looks.start(dbos, queue)
        await self._mend()
        self._caring.start()

    async def drain(self) -> None:
        """Take nothing from the queue any more."""
        await asyncio.get_running_loop().run_in_executor(self._threads, self._looks.stop)

    async def stop(self) -> None:
        """Leave what is not over to other processes, who hear of it at once, and stop DBOS."""
        global _walk
        await self._caring.stop()
        if self._owns:
            loop = asyncio.get_running_loop()
            await self.drain()
            await loop.run_in_executor(self._threads, DBOS.destroy)
            # DBOS had made its threads those of this loop, and they are gone.
            loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))
            _walk = None
        if self._client is not None:
            with contextlib.suppress(HardpointError, sqlalchemy.exc.SQLAlchemyError):
                await self._hand_over(self.worker)
            await asyncio.get_running_loop().run_in_executor(self._threads, self._client.destroy)
        await self._writer.close()
        self._threads.shutdown(wait=False)

    def wake(self) -> None:
        """Something was put into the queue."""
        self._busy_until = time.monotonic() + LINGER_SECONDS
        self._looks.wake()

    async def reasons_not_ready(self) -> list[str]:
        """Why no workflow can go on now, nothing when it can."""
        return [self._reason] if self._reason else []

    def _walked(self, walk: Walk) -> Walk:
        async def walked(stretch: Stretch) -> None:
            try:
                await walk(stretch)
            finally:
                self._busy_until = time.monotonic() + LINGER_SECONDS

        return walked

    def _is_busy(self) -> bool:
        return time.monotonic() < self._busy_until

    async def _make_tables(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._database.transaction(ANY_ORG) as connection:
            # One process at a time; DBOS has no lock of its own for it.
            await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('hardpoint.dbos.migrate'))"))
            await loop.run_in_executor(self._threads, lambda: DBOS.migrate(self._url, schema=SCHEMA))

    async def _register(self) -> None:
        assert self._client is not None
        await self._client.register_queue_async(
            QUEUE,
            worker_concurrency=AT_ONCE,
            partition_concurrency=AT_ONCE_OF_ORG,
            polling_interval_sec=REST_SECONDS,
            application_name=APPLICATION,
        )

    async def _care_forever(self) -> None:
        for beat in itertools.count(1):
            await asyncio.sleep(BEAT_SECONDS)
            try:
                await self._care()
                if beat % MEND_BEATS == 0:
                    await self._mend()
                self._reason = ""
            except HardpointError as error:
                self._reason = error.message
            except sqlalchemy.exc.SQLAlchemyError as error:
                self._reason = f"the tables of workflows cannot be used: {type(error.__cause__ or error).__name__}"
                _log.warning("workflows do not go on", reason=self._reason)
            except Exception:
                self._reason = "workflows do not go on: see the log"
                _log.exception("no care is taken of workflows")

    async def _care(self) -> None:
        there, dead = await self._beat()
        if not there:
            self._reason = "the tables of workflows were gone and are made again"
            _log.warning("workflows do not go on", reason=self._reason)
            await self._make_tables()
            await self._register()
            await self._mend()
        for worker in dead:
            await self._hand_over(worker)

    async def _beat(self) -> tuple[bool, list[str]]:
        """Say that this process lives; whether the queue's tables are there, and which processes are dead."""
        ((there, dead),) = await self._writer.write(_BEAT, {"worker": self.worker, "dead": DEAD_SECONDS})
        return there, dead

    async def _hand_over(self, worker: str) -> None:
        """Queue again what a process had begun; of two that do it, the later one changes nothing."""
        assert self._client is not None
        begun = await self._client.list_workflows_async(
            status="PENDING", executor_id=worker, load_input=False, load_output=False
        )
        if begun:
            ids = [one.workflow_id for one in begun]
            await self._client.resume_workflows_async(ids, queue_name=QUEUE)
            self.wake()
            _log.info("stretches of another process are taken over", worker=worker, stretches=len(ids))
        async with self._database.transaction(ANY_ORG) as connection:
            await connection.execute(_GONE, {"worker": worker})
