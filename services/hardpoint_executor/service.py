"""The use cases of the executor: run one action once, stop it, and read what a code file exports.

Every execution gets a broker of its own. How it ends is decided here and in the runners, never by what ran.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from hardpoint_executor import peers
from hardpoint_executor.artifacts import Calls, Code, Program, Programs
from hardpoint_executor.broker import ai
from hardpoint_executor.broker.broker import Broker
from hardpoint_executor.broker.databases import Databases
from hardpoint_executor.broker.declared import Declared
from hardpoint_executor.broker.http import HttpClient, Owner
from hardpoint_executor.broker.limits import BrokerLimits
from hardpoint_executor.broker.scrub import Watched
from hardpoint_executor.broker.secrets import Secret, Secrets, password_in
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
from hardpoint_executor.inside import Inside
from hardpoint_executor.jail.interface import Jail
from hardpoint_executor.kept import Kept
from hardpoint_executor.logbook import Logbook
from hardpoint_executor.peers import Values
from hardpoint_executor.runners.code import CodeRunner
from hardpoint_executor.runners.flow.inner import inner
from hardpoint_executor.runners.flow.plan import FlowPlan
from hardpoint_executor.runners.flow.runner import FlowRunner
from hardpoint_executor.runners.offer import Engines
from hardpoint_executor.runners.oversize import OVERSIZE_BYTES, OVERSIZE_FIX, check_size, fitting
from hardpoint_executor.taping import Session, recorded, replayed
from hardpoint_executor.writes import Writes
from hardpoint_kit.caller import Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.documents import DEEPEST, MOST_VALUES, too_deep, too_many
from hardpoint_kit.errors import (
    ActionFailed,
    AlreadyExists,
    Cancelled,
    Conflict,
    DeadlineExceeded,
    HardpointError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from hardpoint_manifest.authority import Authority
from hardpoint_manifest.load import language

MOST_LEASES = 4096


class Executor:
    """Runs actions, one broker and, for code, one fresh jail each."""

    def __init__(
        self,
        artifacts: peers.Artifacts,
        leases: peers.Leases,
        jail: Jail,
        http: HttpClient,
        clock: Clock,
        limits: Limits,
        strict_orgs: Iterable[str] = (),
        sharing_orgs: Iterable[str] = (),
        *,
        files: FilesDoor,
    ) -> None:
        self._leases = leases
        self._files = files
        self._values: Kept[Values] = Kept(clock, MOST_LEASES)
        self._jail = jail
        self._code = CodeRunner(jail, strict_orgs, sharing_orgs)
        self._programs = Programs(artifacts, clock, self._code.strip)
        self._http = http
        self._databases = Databases(http.dialler, http.tls)
        self._limits = limits
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
        return replace(finished, logs=logbook.lines) if logbook.lines else finished

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
            return _with_plan(await self._taped(execution, tell), execution.writes)
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
        self._databases.close()

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

    async def read_engines(self, caller: Caller) -> Engines:
        """What code of an organisation may ask for; raises Unavailable JAIL_UNAVAILABLE where the jail is not ready."""
        self._fail_closed()
        return self._code.offer.engines(caller.org)

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

    async def _redeemed(self, token: str) -> Values | None:
        if not token:
            return None

        async def redeem() -> tuple[Values, Any]:
            values = await self._leases.redeem(token)
            return values, values.expire_time

        return await self._values.get(token, redeem)

    async def _taped(self, execution: Execution, tell: Tell) -> Finished:
        """Run an execution, written down or from a cassette where that is asked."""
        if execution.cassette is not None:
            return await replayed(execution.cassette, execution, tell, self._attempt)
        if execution.record:
            return await recorded(execution, tell, self._attempt)
        return await self._attempt(execution, tell)

    async def _attempt(self, execution: Execution, tell: Tell, session: Session | None = None) -> Finished:
        """Run an execution, or one inside of another; raises for one that never began."""
        program = await self._programs.get(execution.artifact)
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
        settings = _settings(execution, values)
        secrets = _secrets(execution, values)
        if execution.installation:
            _check_complete(execution, settings, secrets)
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
            return Finished(outcome, spent, output, error, used, inside.steps)

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
        return Broker(
            Owner(execution.org, execution.capability),
            execution.authority,
            Secrets(secrets, tape.nonce if tape else ""),
            self._http,
            BrokerLimits(calls=limits.broker_calls, wall_seconds=limits.wall_seconds),
            watched=_watched(values, secrets) if values else [],
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
            settings=_chosen(settings, values),
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


def _watched(values: Values, secrets: Mapping[str, Secret]) -> list[Watched]:
    """What must not come out: every secret, and of one that is a URL its password too."""
    watched = [values.watching(key, secret.value) for key, secret in secrets.items()]
    passwords = ((key, password_in(secret.value)) for key, secret in secrets.items())
    return watched + [values.watching(f"{key} password", password) for key, password in passwords if password]


def _check_complete(execution: Execution, settings: Mapping[str, Any], secrets: Mapping[str, Secret]) -> None:
    """Refuse to be called without its settings; raises Conflict SETTINGS_MISSING naming keys and commands."""
    missing = [r for r in execution.requirements if r.required and r.key not in settings and r.key not in secrets]
    if missing:
        installation = execution.installation.rpartition("/")[2]
        raise Conflict(
            f"{execution.capability} needs {', '.join(r.key for r in missing)}",
            reason="SETTINGS_MISSING",
            fix="; ".join(
                f"hardpoint secret set {installation} {r.key}"
                if r.secret
                else f"hardpoint setting set {installation} {r.key}=..."
                for r in missing
            ),
            keys=",".join(r.key for r in missing),
            installation=execution.installation,
        )


def _secrets(execution: Execution, values: Values | None) -> dict[str, Secret]:
    """The values of the keys that the release declares as secret, and no others of the settings document."""
    declared = [requirement for requirement in execution.requirements if requirement.secret]
    found = values.secrets if values else {}
    return {r.key: Secret(found[r.key], r.hosts, r.pointer) for r in declared if r.key in found}


def _settings(execution: Execution, values: Values | None) -> dict[str, Any]:
    """The plain values of the keys that the release declares, with their defaults."""
    set_values = values.settings if values else {}
    plain = [requirement for requirement in execution.requirements if not requirement.secret]
    chosen = {requirement.key: set_values.get(requirement.key, requirement.default) for requirement in plain}
    return {key: value for key, value in chosen.items() if value is not None}


def _chosen(settings: Mapping[str, Any], values: Values | None) -> dict[str, Any]:
    """What the org set itself, and the models that the author suggests: no default decides where a service is."""
    suggested = (ai.MODEL, ai.EMBEDDING_MODEL)
    return {key: value for key, value in settings.items() if key in suggested or (values and key in values.settings)}


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
