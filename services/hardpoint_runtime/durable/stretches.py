"""Owns the queue of stretches: they are put there in the transaction that says why, by any process."""

import logging
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy.exc
from dbos import DBOSClient, EnqueueOptions
from sqlalchemy import Connection, make_url
from sqlalchemy.ext.asyncio import AsyncConnection

from hardpoint_kit.errors import Unavailable
from hardpoint_kit.names import RunName
from hardpoint_runtime.durable.serializer import JsonSerializer, refuse_pickles

SCHEMA = "dbos"
APPLICATION = "hardpoint"
INTERPRETER = "interpreter-1"
"""What walks plans. The state of a stretch is in rows, so a newer interpreter goes on where this one stopped."""
STRETCH = "stretch"
QUEUE = "stretches"


@dataclass(frozen=True, slots=True)
class Stretch:
    """One piece of a run's way, counted from 1."""

    run: RunName
    number: int

    @property
    def id(self) -> str:
        """The id of the workflow of DBOS that walks it."""
        return f"{self.run.org}/{self.run.run}/{self.number}"


class Stretches:
    """The queue, for whoever starts or continues runs. One org's stretches wait for each other alone."""

    def __init__(self, url: str) -> None:
        refuse_pickles()
        _quiet()
        self._client = DBOSClient(
            system_database_url=database_of(url),
            dbos_system_schema=SCHEMA,
            serializer=JsonSerializer(),
            application_name=APPLICATION,
            lazy=True,
            retry_connection_errors=False,
        )

    async def put(self, connection: AsyncConnection, stretch: Stretch, delay_seconds: float = 0.0) -> None:
        """Have a stretch walked once the transaction of `connection` is committed, and the delay is over.

        Raises Unavailable while the queue's tables are not there.
        """
        options = EnqueueOptions(
            workflow_name=STRETCH,
            queue_name=QUEUE,
            workflow_id=stretch.id,
            queue_partition_key=stretch.run.org,
            app_version=INTERPRETER,
        )
        if delay_seconds > 0:
            options["delay_seconds"] = delay_seconds

        def put(sync: Connection) -> None:
            self._client.enqueue_in_transaction(sync, options, stretch.run.org, stretch.run.run, stretch.number)

        try:
            await connection.run_sync(put)
        except sqlalchemy.exc.ProgrammingError as error:
            # They were lost, and are being made again: the transaction is rolled back, so nothing was begun.
            raise Unavailable(
                "the tables of workflows are not ready", fix="try again shortly", retry_after=1.0
            ) from error

    async def forget(self, _connection: AsyncConnection, before: datetime, most: int) -> int:
        """Delete at most so many stretches that ended before a moment; return how many."""
        ended = await self._client.list_workflows_async(
            status=["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"],
            completed_before=before.isoformat(),
            limit=most,
            load_input=False,
            load_output=False,
        )
        await self._client.delete_workflows_async([one.workflow_id for one in ended])
        return len(ended)

    def close(self) -> None:
        """Close the connections; blocks for as long as that takes."""
        self._client.destroy()


def _quiet() -> None:
    """Send what DBOS says to our own log, from warnings on: below, it advertises."""
    log = logging.getLogger("dbos")
    log.setLevel(logging.WARNING)
    # It adds a handler of its own, past our format, only where there is none.
    # As it migrates it looks into a database of the server that the unit's role must not enter, and goes on without.
    log.filters = log.filters or [_useful]
    log.handlers = log.handlers or [logging.NullHandler()]


def _useful(record: logging.LogRecord) -> bool:
    return "to verify existence" not in record.getMessage()


def database_of(url: str) -> str:
    """The URL of the unit's database, as DBOS takes it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
