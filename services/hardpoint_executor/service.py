"""The use cases of the executor: run one action once, stop it, and read what a code file exports.

How an execution ends is decided in `performing.py` and in the runners, never by what ran.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

from hardpoint_executor import peers
from hardpoint_executor.broker.http import HttpClient
from hardpoint_executor.broker.stored import Door as FilesDoor
from hardpoint_executor.domain import (
    Event,
    Execution,
    Finished,
    Limits,
    Outcome,
    Tell,
    Usage,
)
from hardpoint_executor.jail.interface import Jail
from hardpoint_executor.logbook import Logbook
from hardpoint_executor.performing import Performer
from hardpoint_executor.runners.code import CodeRunner
from hardpoint_executor.runners.offer import Engines
from hardpoint_kit.caller import Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import (
    AlreadyExists,
    Cancelled,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from hardpoint_manifest.load import language


class Executor:
    """Runs actions, each of which is found by its id while it runs."""

    def __init__(
        self,
        artifacts: peers.Artifacts,
        leases: peers.Leases,
        jail: Jail,
        http: HttpClient,
        clock: Clock,
        limits: Limits,
        *,
        files: FilesDoor,
    ) -> None:
        self._jail = jail
        self._code = CodeRunner(jail)
        self._performer = Performer(artifacts, leases, http, clock, limits, files=files, code=self._code)
        self._running: dict[tuple[str, str], asyncio.Task[Any]] = {}
        self._killed: set[tuple[str, str]] = set()
        """By `cancel`, and not because the caller went away."""

    async def execute(self, _caller: Caller, execution: Execution) -> AsyncGenerator[Event, None]:
        """Run an action: Started first, Finished last. Raises instead of Started for an execution that never began.

        Closing the iterator kills the execution. Raises Unavailable JAIL_UNAVAILABLE where the jail is not ready.
        """
        # The queue needs no bound of its own: what an action may log has one.
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        run = asyncio.create_task(self._run(execution, events.put_nowait))
        run.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            yield run.result()
        finally:
            run.cancel()

    async def execute_to_end(self, _caller: Caller, execution: Execution) -> Finished:
        """Run an action and say how it ended; being cancelled kills it. Raises as execute does."""
        logbook = Logbook()
        finished = await self._run(execution, logbook.hear)
        lines = logbook.lines
        return replace(finished, logs=lines) if lines else finished

    async def _run(self, execution: Execution, tell: Tell) -> Finished:
        """Run an action in the current task, where `cancel` finds it."""
        self._fail_closed()
        key = (execution.org, execution.id)
        if key in self._running:
            raise AlreadyExists(f"execution {execution.id} is running", place="execution_id")
        task = asyncio.current_task()
        assert task is not None
        self._running[key] = task
        try:
            return await self._performer.perform(execution, tell)
        except asyncio.CancelledError:
            if key not in self._killed or task.uncancel():
                raise
            return Finished(Outcome.CANCELLED, Usage(), error=Cancelled("the execution was cancelled"))
        finally:
            del self._running[key]
            self._killed.discard(key)
            self._code.ended(execution)

    def close(self) -> None:
        """Close what is kept open between executions."""
        self._performer.close()

    async def cancel(self, _caller: Caller, org: str, execution_id: str) -> None:
        """Kill a running execution, which ends as CANCELLED; once more changes nothing. Raises NotFound."""
        key = (org, execution_id)
        run = self._running.get(key)
        if run is None:
            raise NotFound("execution", execution_id)
        if key not in self._killed:
            self._killed.add(key)
            run.cancel()

    async def read_header(self, caller: Caller, filename: str, source: bytes) -> dict[str, Any]:
        """What a code file exports, by loading it in the jail.

        Raises InvalidArgument HEADER_UNREADABLE, and Unavailable JAIL_UNAVAILABLE where the jail is not ready.
        """
        self._fail_closed()
        written_in = language(filename)
        if not written_in:
            raise InvalidArgument(
                {"filename": f"{filename} is not a code file"},
                fix="name it .js, .mjs, .ts, .mts or .py, or upload it as it is",
            )
        try:
            text = source.decode()
        except UnicodeDecodeError as error:
            raise InvalidArgument(
                f"{filename} is not UTF-8 text (byte {error.start})", reason="HEADER_UNREADABLE", place=filename
            ) from None
        return await self._code.describe(written_in, text, filename, caller.org)

    async def read_engines(self, _caller: Caller) -> Engines:
        """What code may ask for; raises Unavailable JAIL_UNAVAILABLE where the jail is not ready."""
        self._fail_closed()
        return self._code.offer.engines()

    def _fail_closed(self) -> None:
        """Refuse whatever is asked while the unit says that it is not ready, requests without code too."""
        reasons = self._jail.reasons_not_ready()
        if reasons:
            raise Unavailable(
                f"the executor runs nothing while its jail is not ready: {'; '.join(reasons)}",
                reason="JAIL_UNAVAILABLE",
                fix="repair what is named on the executor's machine and start the executor again; then ask the doctor",
                check=reasons[0],
            )
