"""Owns executions with a tape: what one needs to be recorded or replayed, and what became of the tape at its end."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from hardpoint_executor.broker.outlet import Outlet
from hardpoint_executor.broker.secrets import password_in
from hardpoint_executor.broker.tape import RECORD_AGAIN, Recording, Replaying, Tape
from hardpoint_executor.domain import CONTEXT_FILES, Execution, Finished, Known, Lent, Outcome, Tell, handles_in
from hardpoint_executor.peers import Values
from hardpoint_kit.errors import ActionFailed, HardpointError, InvalidArgument
from hardpoint_manifest.authority import Authority
from hardpoint_manifest.cassette import MOST_BYTES, Cassette, Reach, Saved, read, write
from hardpoint_manifest.finding import ManifestError


@dataclass(slots=True)
class Session:
    """A tape with what its execution was given; `values` are those of a replay, in place of a lease's."""

    tape: Tape
    values: Values | None = None
    given: Values | None = None

    def begin(self, execution: Execution, values: Values | None) -> None:
        """Keep what is set of what the release declares."""
        declared = {requirement.key for requirement in execution.requirements}
        if values is not None:
            self.given = Values(
                {key: value for key, value in values.settings.items() if key in declared},
                {key: value for key, value in values.secrets.items() if key in declared},
                values.expire_time,
                values.no_text & declared,
            )


Attempt = Callable[[Execution, Tell, Session | None], Awaitable[Finished]]


def cassette_of(data: bytes) -> Cassette:
    """Read a cassette; raises InvalidArgument CASSETTE_INVALID with its line."""
    try:
        return read(data)
    except ManifestError as error:
        finding = error.findings[0]
        raise InvalidArgument(
            f"it is no cassette: {finding.message}",
            reason="CASSETTE_INVALID",
            place=f"{finding.line}:{finding.column}",
            fix=finding.fix or "record it again: hardpoint test FILE --record",
        ) from None


async def recorded(execution: Execution, tell: Tell, attempt: Attempt) -> Finished:
    """Run an execution and write down what it did; raises as `attempt` does.

    One that cannot be recorded says why, beside how it ended: it was done.
    """
    tape = Recording()
    session = Session(tape)
    finished = await attempt(execution, tell, session)
    try:
        return replace(finished, cassette=await _cassette(execution, finished, tape, session))
    except HardpointError as error:
        return replace(finished, unrecorded=error)


async def _cassette(execution: Execution, finished: Finished, tape: Recording, session: Session) -> bytes:
    if tape.size > MOST_BYTES:
        raise _too_much(f"what it did outside is more than {MOST_BYTES} bytes")
    given = session.given
    try:
        cassette = _made(execution, finished, tape, given)
        data = await asyncio.to_thread(write, cassette)
    except ManifestError as error:
        raise _too_much(error.findings[0].message) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise _too_much(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    await _check_secrets(cassette, given)
    return data


def _made(execution: Execution, finished: Finished, tape: Recording, given: Values | None) -> Cassette:
    """The cassette; raises ValidationError where a call says what none may."""
    return Cassette(
        action=execution.action,
        input=dict(execution.input),
        settings=dict(given.settings) if given else {},
        secrets=(*given.secrets, *sorted(given.no_text)) if given else (),
        nonce=tape.seed,
        key=execution.idempotency_key,
        authority=None if execution.authority.covers(execution.asked) else _reach(execution.authority),
        files=tuple(map(Saved.model_validate, execution.known.files)) if _may_know_files(execution) else (),
        calls=tape.calls,
        output=finished.output if finished.error is None else None,
        error=finished.error.reason if finished.error else None,
    )


def _reach(authority: Authority) -> Reach:
    return Reach(permissions=tuple(sorted(authority.permissions)), hosts=tuple(sorted(authority.hosts)))


def _may_know_files(execution: Execution) -> bool:
    return CONTEXT_FILES in execution.authority.permissions


async def _check_secrets(cassette: Cassette, given: Values | None) -> None:
    """Answers and outputs come without secrets; what else is written must have none either, in any spelling."""
    if given is None:
        return
    passwords = {f"{key} password": password_in(value) for key, value in given.secrets.items()}
    watched = {**given.secrets, **{key: password for key, password in passwords.items() if password}}
    outlet = Outlet([given.watching(key, value) for key, value in watched.items()])
    found = await outlet.found_in(cassette.model_dump(mode="json"))
    if found:
        raise ActionFailed(
            f"the input, a setting, or what the action sends holds the secret {found}: nothing was recorded",
            reason="CASSETTE_HOLDS_SECRET",
            fix="record with an input without it, and let the action send secrets as it is given them",
            secret=found,
        )


async def replayed(cassette: Cassette, execution: Execution, tell: Tell, attempt: Attempt) -> Finished:
    """Run an execution with its cassette for an outside; what differs from the cassette fails it as REPLAY_DIVERGED.

    It needs no lease: settings are the recorded ones, and secrets texts that stand for them. It reaches what it reached
    then, and never more than it is allowed now.
    """
    if cassette.action != execution.action:
        raise InvalidArgument(
            f"the cassette is of {cassette.action}, not of {execution.action}", reason="CASSETTE_INVALID"
        )
    tape = Replaying(cassette)
    stand_ins = {key: secrets.token_hex(16) for key in cassette.secrets}
    session = Session(tape, Values(cassette.settings, stand_ins, datetime.now(UTC) + timedelta(hours=1)))
    execution = replace(
        execution,
        idempotency_key=cassette.key,
        lease_token="",
        authority=execution.authority.intersect(cassette.authority.authority)
        if cassette.authority
        else execution.authority,
        known=Known(files=tuple(file.model_dump(exclude_none=True) for file in cassette.files)),
        files=Lent("cassette", tuple(handles_in(execution.input)), alone=True),
    )
    finished = await attempt(execution, tell, session)
    # What failed before it came to a recorded call says why by itself.
    if difference := tape.diverged or (tape.ended() if finished.error is None else ""):
        error = ActionFailed(difference, reason="REPLAY_DIVERGED", fix=RECORD_AGAIN)
        return replace(finished, outcome=Outcome.USER_ERROR, output=None, error=error)
    return finished


def _too_much(message: str) -> HardpointError:
    return ActionFailed(
        f"the execution cannot be recorded: {message}",
        reason="CASSETTE_LIMIT",
        fix="record with an input that makes the action fetch less",
        limit=f"{MOST_BYTES} bytes",
    )
