"""Runs one execution, and those inside of it: a program, a broker of its own, and what came of both."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from hardpoint_executor import peers
from hardpoint_executor.artifacts import Calls, Code, Program, Programs
from hardpoint_executor.broker.broker import Broker
from hardpoint_executor.broker.databases import Databases
from hardpoint_executor.broker.declared import Declared
from hardpoint_executor.broker.http import HttpClient, Owner
from hardpoint_executor.broker.limits import BrokerLimits
from hardpoint_executor.broker.secrets import Secret, Secrets
from hardpoint_executor.broker.stored import Door as FilesDoor
from hardpoint_executor.broker.tape import Tape
from hardpoint_executor.domain import (
    Event,
    Execution,
    Finished,
    Limits,
    Outcome,
    Started,
    Tell,
    Usage,
    outcome_of,
)
from hardpoint_executor.given import check_complete, chosen, secrets_of, settings_of, watched
from hardpoint_executor.inside import Inside
from hardpoint_executor.kept import Kept
from hardpoint_executor.peers import Values
from hardpoint_executor.runners.code import CodeRunner
from hardpoint_executor.runners.flow.inner import inner
from hardpoint_executor.runners.flow.plan import FlowPlan
from hardpoint_executor.runners.flow.runner import FlowRunner
from hardpoint_executor.runners.oversize import OVERSIZE_BYTES, OVERSIZE_FIX, check_size, fitting
from hardpoint_executor.taping import Session, recorded, replayed
from hardpoint_executor.writes import Writes
from hardpoint_kit.clock import Clock
from hardpoint_kit.documents import DEEPEST, MOST_VALUES, too_deep, too_many
from hardpoint_kit.errors import (
    ActionFailed,
    DeadlineExceeded,
    HardpointError,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from hardpoint_manifest.authority import Authority

MOST_LEASES = 4096
HAPPENED = "happened"
"""The fact of an error: `no` where nothing that may change something has left, so that it can be done again."""


class Performer:
    """Performs executions, one broker and, for code, one fresh jail each."""

    def __init__(
        self,
        artifacts: peers.Artifacts,
        leases: peers.Leases,
        http: HttpClient,
        clock: Clock,
        limits: Limits,
        *,
        files: FilesDoor,
        code: CodeRunner,
    ) -> None:
        self._leases = leases
        self._files = files
        self._values: Kept[Values] = Kept(clock, MOST_LEASES)
        self._code = code
        self._programs = Programs(artifacts, clock, code.strip)
        self._http = http
        self._databases = Databases(http.dialler, http.tls)
        self._limits = limits

    async def perform(self, execution: Execution, tell: Tell) -> Finished:
        """Run an execution to its end, written down, from a cassette or by a plan where that is asked.

        Raises HardpointError for one that never began.
        """
        return _with_plan(await self._taped(execution, tell), execution.writes)

    async def _taped(self, execution: Execution, tell: Tell) -> Finished:
        if execution.cassette is not None:
            return await replayed(execution.cassette, execution, tell, self._attempt)
        if execution.record:
            return await recorded(execution, tell, self._attempt)
        return await self._attempt(execution, tell)

    async def _attempt(self, execution: Execution, tell: Tell, session: Session | None = None) -> Finished:
        """Run an execution, or one inside of another; raises for one that never began."""
        program = await self._programs.get(execution.artifact, execution.org)
        if isinstance(program, Code):
            self._code.offer.admit(program, execution)
        values = session.values if session else None
        if values is None:
            values = await self._redeemed(execution.lease_token)
        if session is not None:
            session.begin(execution, values)
        return await self._perform(program, values, execution, tell, tape=session.tape if session else None)

    async def _perform(
        self,
        program: Program,
        values: Values | None,
        execution: Execution,
        tell: Tell,
        *,
        tape: Tape | None = None,
    ) -> Finished:
        """Run a program with a broker of its own."""
        limits = self._limits.narrowed(execution.limits)
        if isinstance(program, Code):
            limits = limits.for_compute(execution.authority)
        settings = settings_of(execution, values)
        secrets = secrets_of(execution, values)
        if execution.installation:
            check_complete(execution, settings, secrets)
        if isinstance(program, Calls):
            secrets |= program.made(execution.action, secrets, settings)
        in_jail = isinstance(program, Code)
        inside = Inside(execution, limits.wall_seconds, self._attempt, tell, in_jail=in_jail, tape=tape)
        broker = self._broker(execution, values, secrets, settings, limits, inside, tape, code=in_jail)
        started = time.monotonic()
        usage = Usage()

        def finished(outcome: Outcome, output: Any = None, error: HardpointError | None = None) -> Finished:
            spent = _used(usage, broker, started).with_inner(inside.usage)
            permissions = frozenset(broker.usage.permissions) | inside.used.permissions
            if isinstance(program, Code):
                permissions |= limits.compute_used(execution.authority, spent.wall_ms / 1000)
            used = Authority(permissions, frozenset(broker.usage.hosts) | inside.used.hosts)
            wrote = broker.usage.wrote or inside.wrote
            if error is not None:
                error.metadata.pop(HAPPENED, None)  # what it called had nothing to say of the whole
                if not wrote:
                    error.metadata[HAPPENED] = "no"
            return Finished(outcome, spent, output, error, used, wrote, inside.steps)

        def told(event: Event) -> None:
            if isinstance(event, Started):
                inside.begin()
            tell(event)

        try:
            if isinstance(program, Calls):
                tell(Started("http"))
                async with asyncio.timeout(limits.wall_seconds):
                    most = OVERSIZE_BYTES if execution.oversize_to_file else limits.output_bytes
                    output = await program.plan(execution.action).run(broker, execution.input, settings, most)
            elif isinstance(program, FlowPlan):
                tell(Started("flow"))
                async with asyncio.timeout(limits.wall_seconds):
                    output = await self._walk(program, execution, values, settings, inside, tape)
                check_size(output, OVERSIZE_BYTES if execution.oversize_to_file else limits.output_bytes)
            else:
                ran = await self._code.run(program, execution, settings, broker, limits, told)
                usage, output = ran.usage, ran.output
                if ran.error is not None:
                    raise ran.error
            if await asyncio.to_thread(too_deep, output) if execution.oversize_to_file else too_deep(output):
                raise ActionFailed(
                    f"the output is nested deeper than {DEEPEST} levels",
                    reason="OUTPUT_LIMIT",
                    fix="return something flatter",
                )
            if execution.oversize_to_file:
                whole = await broker.outlet.output(output)
                output, in_file = await fitting(whole, limits.output_bytes, execution, broker.stored)
                return replace(finished(Outcome.OK, output), output_in_file=in_file)
            if too_many(output):
                raise ActionFailed(
                    f"the output holds more than {MOST_VALUES} values",
                    reason="OUTPUT_LIMIT",
                    fix=f"return less, or one text that holds it, such as CSV; {OVERSIZE_FIX}",
                    limit=f"{MOST_VALUES} values",
                )
            return finished(Outcome.OK, await broker.outlet.output(output))
        except TimeoutError:
            late = DeadlineExceeded(f"the action took longer than {limits.wall_seconds:g} s", reason="TIMEOUT")
            return finished(Outcome.TIMEOUT, error=late)
        except (ResourceExhausted, Unavailable):
            raise  # no jail was to be had: the action did not run
        except HardpointError as error:
            return finished(outcome_of(error), error=broker.outlet.error(error))
        finally:
            broker.close()

    def _broker(
        self,
        execution: Execution,
        values: Values | None,
        secrets: dict[str, Secret],
        settings: Mapping[str, Any],
        limits: Limits,
        inside: Inside,
        tape: Tape | None,
        *,
        code: bool,
    ) -> Broker:
        """The door of one execution."""
        # What an action of kind http gives is an answer as it came.
        larger = {"response_bytes": OVERSIZE_BYTES} if execution.oversize_to_file and not code else {}
        return Broker(
            Owner(execution.org, execution.capability),
            execution.authority,
            Secrets(secrets, tape.nonce if tape else ""),
            self._http,
            BrokerLimits(calls=limits.broker_calls, wall_seconds=limits.wall_seconds, **larger),
            watched=watched(values, secrets) if values else [],
            declared=Declared(
                execution.asked,
                "" if code else "/capability",
                execution.callers,
                execution.authority if execution.granted is None else execution.granted,
            ),
            context=execution.who,
            stored=self._files,
            lent=execution.lent,
            known=execution.known,
            settings=chosen(settings, values),
            databases=self._databases,
            idempotency_key=execution.key,
            call=inside.call,
            writes=execution.writes,
            tape=tape,
        )

    async def _walk(
        self,
        flow: FlowPlan,
        execution: Execution,
        values: Values | None,
        settings: Mapping[str, Any],
        inside: Inside,
        tape: Tape | None,
    ) -> Any:
        """Walk a flow; its requests and its code are executions of their own, with the same settings and authority."""

        async def do(action: str, path: str, value: Any, key: str, seconds: float) -> Any:
            program, of = inner(flow, execution, action, value, key)
            perform = partial(self._perform, program, values, tape=tape.inside(path) if tape else None)
            return await inside.do(path, of, perform, seconds)

        runner = FlowRunner(flow, execution, settings, inside, do)
        return await (runner.only(execution.step, execution.pinned) if execution.step else runner.run())

    def close(self) -> None:
        """Close what is kept open between executions."""
        self._databases.close()

    async def _redeemed(self, token: str) -> Values | None:
        if not token:
            return None

        async def redeem() -> tuple[Values, Any]:
            values = await self._leases.redeem(token)
            return values, values.expire_time

        return await self._values.get(token, redeem)


def _with_plan(finished: Finished, writes: Writes) -> Finished:
    """The end with what was planned; a write that is not in the plan is the end, whatever the code makes of it."""
    ledger = writes.ledger
    if ledger is None:
        return finished
    if (refused := ledger.refusal) is not None and finished.outcome is not Outcome.CANCELLED:
        place = finished.error.place if finished.error else ""
        error = PermissionDenied(refused.message, reason=refused.reason, fix=refused.fix, place=place)
        error.metadata.update(refused.facts)
        finished = replace(finished, outcome=outcome_of(error), output=None, error=error)
    met = ledger.circumstances if ledger.dry_run else None
    return replace(finished, planned=tuple(ledger.planned), left=ledger.left, circumstances=met)


def _used(usage: Usage, broker: Broker, started: float) -> Usage:
    """What the jail measured, with the broker's bytes and calls."""
    return replace(
        usage,
        wall_ms=(time.monotonic() - started) * 1000,
        broker_calls=broker.usage.calls,
        bytes_out=broker.usage.bytes_sent,
        bytes_in=broker.usage.bytes_received,
        input_tokens=broker.usage.input_tokens,
        output_tokens=broker.usage.output_tokens,
    )
