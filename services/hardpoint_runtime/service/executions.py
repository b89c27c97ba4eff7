"""Owns the execution of a call: what the executor is asked to do, with which tickets, files and limits."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from hardpoint_kit.errors import Unauthenticated
from hardpoint_kit.names import RunName
from hardpoint_kit.telemetry import meter
from hardpoint_runtime.domain.calls import Call
from hardpoint_runtime.domain.executions import Ended, Execution, Lent
from hardpoint_runtime.domain.runs import RunState
from hardpoint_runtime.peers import Peers
from hardpoint_runtime.service.composition import Composition
from hardpoint_runtime.service.lending import Lending
from hardpoint_runtime.service.snapshots import Snapshots
from hardpoint_runtime.service.tickets import Tickets

QUEUE_SECONDS = 5.0
"""What an execution may take beyond its limit: waiting for a jail, fetching the artifact."""
ANSWER_SECONDS = 0.25
"""What is kept of the caller's time to record the run and answer."""
SHORTEST_SECONDS = 0.05
TICKET_INVALID = "TICKET_INVALID"

Check = Callable[[], Awaitable[None]]
"""Raises, at the last moment, when an attempt of a step is not to begin."""

_duration = meter.create_histogram(
    "hardpoint.action.duration", unit="s", description="How long executions of actions took."
)


class Executions:
    """Has calls executed; `limit_seconds` bounds every one. Tickets are remembered while they are good."""

    def __init__(
        self, snapshots: Snapshots, tickets: Tickets, composition: Composition, peers: Peers, limit_seconds: float
    ) -> None:
        self._snapshots = snapshots
        self._tickets = tickets
        self._composition = composition
        self._executor = peers.executor
        self._lending = Lending(peers.files)
        self._limit_seconds = limit_seconds

    async def of(
        self, call: Call, run: RunName, value: Mapping[str, Any], remaining: float | None, user: str, signer: str = ""
    ) -> Execution:
        """What the executor is asked to do for somebody, with its tickets; raises as Tickets and Snapshots do."""
        limit, timeout = self._limit_seconds, self._limit_seconds + QUEUE_SECONDS
        if remaining is not None:
            timeout = max(SHORTEST_SECONDS, min(timeout, remaining - ANSWER_SECONDS))
            limit = min(limit, timeout)
        known = call.known
        policy = await self._snapshots.policy(run.org)
        if call.taped.cassette:
            files = Lent()
        else:
            files, value = await self._lending.lend(
                run, call.action, call.authority, value, known.files, saves=call.oversize_to_file
            )
        execution = Execution(
            run=run,
            agent=str(call.agent or ""),
            release=call.release,
            action=call.action,
            input=value,
            authority=call.authority,
            artifact_ticket="",
            lease_token="",
            wall_seconds=limit,
            timeout=timeout,
            files=files,
            callers=call.callers,
            idempotency_key=str(run),
            alone=call.alone,
            oversize_to_file=call.oversize_to_file,
            installation=call.counted_for.installation if call.counted_for else "",
            context=known,
            user=user,
            signer=signer,
            dry_run=call.rehearses is not None,
            held_to=call.held_to,
            taped=call.taped,
            single_use=policy.single_use,
            shared_runs=policy.shared_runs,
        )
        return await self._with_tickets(call, execution)

    async def run(self, call: Call, execution: Execution) -> Ended:
        """Execute; raises only for what did not begin, and when it is cancelled."""
        began = time.perf_counter()
        try:
            ended = await self._run(call, execution)
        except asyncio.CancelledError:
            _measure(call, RunState.CANCELLED, began)
            raise
        _measure(call, ended.state, began)
        return ended

    async def attempt(
        self,
        call: Call,
        run: RunName,
        value: Mapping[str, Any],
        check: Check,
        *,
        id: str,
        key: str,
        seconds: float | None,
        user: str,
    ) -> Ended:
        """Run one attempt of a step, which `id` names, for so many seconds, with a person's accounts.

        Nothing is recorded.

        `check` raises, at the last moment, when it is not to begin. Raises only for one that did not begin.
        """
        execution = await self.of(call, run, value, None, user)
        await check()
        limit = execution.wall_seconds if seconds is None else min(seconds, execution.wall_seconds)
        timeout = limit + QUEUE_SECONDS
        return await self.run(
            call, replace(execution, id=id, idempotency_key=key, wall_seconds=limit, timeout=timeout, goes_on=True)
        )

    async def _run(self, call: Call, execution: Execution) -> Ended:
        """Execute with remembered tickets, and once more with fresh ones when the executor refuses them."""
        try:
            ended = await self._executor.execute(execution)
            if any(step.failure.reason == TICKET_INVALID for step in ended.steps):
                self._composition.drop(execution.run.org, call.callees)
            return ended
        except Unauthenticated as error:
            if error.reason != TICKET_INVALID:
                raise
        self._tickets.drop(execution.run.org, call.release.name, call.settings)
        return await self._executor.execute(await self._with_tickets(call, execution))

    async def _with_tickets(self, call: Call, execution: Execution) -> Execution:
        return replace(
            execution,
            artifact_ticket=await self._tickets.artifact(execution.run.org, call.release.name),
            lease_token=await self._tickets.lease(call.settings, execution.user, execution.signer)
            if call.settings
            else "",
            callees=await self._composition.allowed(execution.run.org, call.callees, execution.user)
            if call.callees
            else (),
        )


def attributes(call: Call, run: RunName) -> dict[str, str]:
    """What the span of an execution says, by the conventions of OpenTelemetry where they have a word."""
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": str(call.name),
        "gen_ai.agent.id": str(call.agent or ""),
        "hardpoint.capability": str(call.release.name.capability_name),
        "hardpoint.version": call.release.name.version,
        "hardpoint.run": str(run),
    }


def _measure(call: Call, state: RunState, began: float) -> None:
    told = {
        "hardpoint.capability": str(call.release.name.capability_name),
        "hardpoint.action": call.action.id,
        "hardpoint.state": state,
    }
    _duration.record(time.perf_counter() - began, told)
