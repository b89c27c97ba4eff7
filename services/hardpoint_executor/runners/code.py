"""Runs an action of a code file in a jail, and reads the header of one; how a run ended becomes an error's reason."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from hardpoint_executor import domain, security
from hardpoint_executor.artifacts import Code
from hardpoint_executor.broker.broker import Broker
from hardpoint_executor.jail.interface import (
    DESCRIBE_LIMITS,
    Event,
    Frame,
    Jail,
    JailCall,
    Limits,
    Log,
    Outcome,
    OutcomeKind,
    Progress,
    Taken,
)
from hardpoint_executor.runners.denied import failure
from hardpoint_executor.runners.exhaustion import exhausted
from hardpoint_executor.runners.offer import Offer
from hardpoint_executor.runners.oversize import OVERSIZE_BYTES, OVERSIZE_FIX
from hardpoint_kit.documents import DEEPEST, too_deep
from hardpoint_kit.errors import ActionFailed, DeadlineExceeded, HardpointError, InvalidArgument
from hardpoint_kit.telemetry import inject, tracer
from hardpoint_manifest.engine import library_of
from hardpoint_manifest.load import jail_error

_REASONS = {
    OutcomeKind.USER_ERROR: "USER_ERROR",
    OutcomeKind.TIMEOUT: "TIMEOUT",
    OutcomeKind.OOM: "MEMORY",
    OutcomeKind.CRASH: "CRASH",
    OutcomeKind.VIOLATION: "VIOLATION",
    OutcomeKind.PROTOCOL: "PROTOCOL",
    OutcomeKind.OUTPUT_LIMIT: "OUTPUT_LIMIT",
    OutcomeKind.BUDGET: "BUDGET",
}
_FIXES = {
    OutcomeKind.CRASH: "give it less at once, such as a smaller file: a library that finds no memory may end all of it",
}


class CodeRunner:
    """Runs code in a jail, never anywhere else."""

    def __init__(self, jail: Jail) -> None:
        self.offer = Offer(jail)
        self._jail = jail

    async def run(
        self,
        code: Code,
        execution: domain.Execution,
        settings: Mapping[str, Any],
        broker: Broker,
        limits: domain.Limits,
        tell: domain.Tell,
    ) -> domain.Ran:
        """Run the action; how it ended is an ActionFailed or DeadlineExceeded in the answer, with what it used.

        Raises Unavailable and ResourceExhausted when there was no jail to run it in.
        """

        async def pass_on(event: Event) -> None:
            match event:
                case Taken():
                    tell(domain.Started(f"code/{code.language}"))
                case Log():
                    tell(domain.Log(event.level, broker.outlet.line(event.message)))
                case Progress():
                    tell(domain.Progress(event.fraction, broker.outlet.line(event.message)))

        with tracer.start_as_current_span(f"jail {code.language}"):
            outcome = await self._jail.run(self._call(code, execution, settings, broker, limits), broker, pass_on)
        for attempt in outcome.attempts:
            security.tried(execution.who, attempt, broker.outlet.named)
        if outcome.kind is OutcomeKind.VIOLATION:
            security.killed(execution.who, _call_made(outcome))
        error = await self._checked(outcome.value, execution) if outcome.ok else _error(outcome, execution, limits)
        return domain.Ran(_usage(outcome), None if error else outcome.value, error)

    async def _checked(self, output: Any, execution: domain.Execution) -> ActionFailed | None:
        """What is wrong with an output; one that may be large is looked at while others go on."""
        if execution.oversize_to_file:
            return await asyncio.to_thread(_wrong_output, output, execution.output_schema)
        return _wrong_output(output, execution.output_schema)

    def _call(
        self,
        code: Code,
        execution: domain.Execution,
        settings: Mapping[str, Any],
        broker: Broker,
        limits: domain.Limits,
    ) -> JailCall:
        return JailCall(
            language=code.language,
            source=code.source,
            filename=execution.artifact.filename,
            action=execution.action,
            input=execution.input,
            settings=settings,
            secrets=broker.secrets.handles,
            permissions=tuple(sorted(execution.authority.permissions)),
            traceparent=inject().get("traceparent", ""),
            limits=Limits(
                limits.wall_seconds,
                limits.memory_bytes + self.offer.held_by(execution.libraries),
                limits.output_bytes,
                limits.log_bytes,
                OVERSIZE_BYTES if execution.oversize_to_file else 0,
                broker.limits.asks,
            ),
            org=execution.org,
            capability=execution.capability,
            engine=execution.engine,
            libraries=execution.libraries,
            strict=self.offer.is_strict(execution),
            depth=execution.depth,
            together=self.offer.together(execution),
        )

    def ended(self, execution: domain.Execution) -> None:
        """Let no jail wait for the rest of a run of which this execution was the last.

        Its org may have let them share no longer than until now.
        """
        for run in {sharing.run for sharing in execution.sharings if not sharing.goes_on}:
            self._jail.end_run(execution.org, run)

    async def describe(self, language: str, source: str, filename: str, org: str = "") -> dict[str, Any]:
        """Return the header that a module exports; `org` is who asks.

        Raises InvalidArgument HEADER_UNREADABLE with the place, and Conflict: LIBRARY_UNAVAILABLE for an import of a
        library that is not offered here, ENGINE_UNAVAILABLE for TypeScript where nothing can take its types out.
        """
        self.offer.check_types(filename)
        memory = DESCRIBE_LIMITS.memory_bytes + (
            self.offer.held_by(self._jail.libraries()) if language == "python" else 0
        )
        outcome = await self._jail.describe(
            language, source, filename, replace(DESCRIBE_LIMITS, memory_bytes=memory), org
        )
        for attempt in outcome.attempts:
            security.tried({"org": org}, attempt, str)
        if outcome.ok and isinstance(outcome.value, dict) and not too_deep(outcome.value):
            return outcome.value
        if outcome.kind is OutcomeKind.VIOLATION:
            security.killed({"org": org}, _call_made(outcome))
        library = _library_missed(outcome)
        if library and library not in self._jail.libraries():
            raise self.offer.lacks([library], f"{filename} imports")
        raise _unreadable(source, filename, outcome)

    async def strip(self, source: str, filename: str, org: str = "") -> str:
        """Return TypeScript without its types, for `org`; raises InvalidArgument and Conflict as `describe` does."""
        self.offer.check_types(filename)
        outcome = await self._jail.strip(source, filename, org)
        if outcome.ok and isinstance(outcome.value, str):
            return outcome.value
        raise _unreadable(source, filename, outcome)


def _unreadable(source: str, filename: str, outcome: Outcome) -> InvalidArgument:
    failure = {
        "name": outcome.error_name or outcome.kind.value,
        "message": outcome.message or f"the jail's answer is not what was asked for, or deeper than {DEEPEST} levels",
        "stack": [asdict(frame) for frame in _own(outcome.stack, filename)],
    }
    finding = jail_error(source.encode(), filename, failure).findings[0]
    return InvalidArgument(
        finding.message,
        reason="HEADER_UNREADABLE",
        place=f"{filename}:{finding.line}:{finding.column}",
        fix=finding.fix,
    )


def _wrong_output(output: Any, schema: Mapping[str, Any]) -> ActionFailed | None:
    """The error of an output that is not what the action declares; without a declaration any output is right."""
    if "properties" not in schema:
        return None
    wrong = best_match(Draft202012Validator(dict(schema)).iter_errors(output))
    if wrong is None:
        return None
    return ActionFailed(
        f"the output is not what the action declares: {wrong.message[:300]}",
        reason="TYPE_MISMATCH",
        place="outputs" + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in wrong.absolute_path),
        fix="return what `outputs` says, or declare what is returned",
    )


def _error(outcome: Outcome, execution: domain.Execution, limits: domain.Limits) -> HardpointError:
    filename = execution.artifact.filename
    if outcome.denied is not None:
        return failure(outcome.denied, _place(_own(outcome.stack, filename)))
    message = f"{outcome.error_name}: {outcome.message}" if outcome.error_name else outcome.message
    place, facts = _place(_own(outcome.stack, filename)), _facts(outcome, limits)
    if outcome.kind is OutcomeKind.USER_ERROR and (met := exhausted(outcome.error_name, outcome.message)):
        told = f"{message}: {met.meaning}" if met.meaning else message
        facts["limit"] = met.limit or f"{_bytes(met.reason, execution, limits)} bytes"
        return ActionFailed(told, reason=met.reason, place=place, fix=met.fix, **facts)
    kind = DeadlineExceeded if outcome.kind is OutcomeKind.TIMEOUT else ActionFailed
    fix = _FIXES.get(outcome.kind, "")
    if outcome.syscall:
        fix = f"take out what calls {outcome.syscall}, or the library that does"
    if outcome.kind is OutcomeKind.OUTPUT_LIMIT and outcome.detail == "result":
        fix = OVERSIZE_FIX
    if library := _library_missed(outcome):
        fix = f'add libraries=["{library}"] to @capability(...)'
    return kind(message, reason=_REASONS[outcome.kind], place=place, fix=fix, **facts)


def _bytes(reason: str, execution: domain.Execution, limits: domain.Limits) -> int:
    """How many there were of what the plugin's own error says was used up."""
    if reason == "MEMORY":
        return limits.memory_bytes
    return OVERSIZE_BYTES if execution.oversize_to_file else limits.output_bytes


def _library_missed(outcome: Outcome) -> str | None:
    """The library that a module failed to import, when that is why it failed."""
    if outcome.error_name != "ModuleNotFoundError":
        return None
    return next((found for word in outcome.message.split("'") if (found := library_of(word))), None)


def _facts(outcome: Outcome, limits: domain.Limits) -> dict[str, Any]:
    match outcome.kind:
        case OutcomeKind.TIMEOUT | OutcomeKind.OUTPUT_LIMIT:
            return {"limit": outcome.limit}
        case OutcomeKind.OOM:
            return {"signal": outcome.detail, "limit": f"{limits.memory_bytes} bytes"}
        case OutcomeKind.USER_ERROR:
            return {"name": outcome.error_name}
        case OutcomeKind.CRASH:
            return {"signal": outcome.detail}
        case OutcomeKind.VIOLATION:
            return _call_made(outcome)
        case OutcomeKind.BUDGET:
            return {"budget": outcome.detail}
        case _:
            return {}


def _call_made(outcome: Outcome) -> dict[str, str]:
    """Of a violation: the system call by name, else the signal with which the kernel answered it."""
    return {"syscall": outcome.syscall} if outcome.syscall else {"signal": outcome.detail}


def _own(stack: tuple[Frame, ...], filename: str) -> tuple[Frame, ...]:
    """The frames of the author's file, which say more than those of a library that it called; else all."""
    return tuple(frame for frame in stack if frame.file == filename) or stack


def _place(stack: tuple[Frame, ...]) -> str:
    return f"{stack[0].file}:{stack[0].line}:{stack[0].column}" if stack else ""


def _usage(outcome: Outcome) -> domain.Usage:
    return domain.Usage(
        wall_ms=outcome.wall_ms,
        cpu_ms=outcome.cpu_ms,
        peak_memory_bytes=outcome.peak_memory_bytes,
        broker_calls=outcome.broker_calls,
        log_bytes=outcome.log_bytes,
    )
