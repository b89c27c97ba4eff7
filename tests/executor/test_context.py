"""What code sees of what the calling agent knows: each part under its own permission, callees under theirs."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from executor.brokers import broker_of, client_of
from executor.composed import World, python
from executor.conftest import Run
from executor.kept import TICKET, Kept
from hardpoint_executor.broker.denial import BrokerDenied
from hardpoint_executor.domain import Execution, Finished, Known, Lent, Limits
from hardpoint_executor.jail import Jails
from hardpoint_executor.service import Executor
from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.clock import SystemClock
from hardpoint_manifest.authority import Authority

USER = {"id": "u-1", "name": "Ada", "email": "ada@example.com", "locale": "en-GB", "time_zone": "Europe/London"}
TALK = {"id": "c-1", "messages": [{"role": "user", "text": "héllo"}]}
NOTES = {"id": "orgs/acme/files/notes", "name": "notes.txt", "type": "text/plain", "size": 5}
KNOWN = Known(USER, TALK, (NOTES,))
PARTS = {"user": USER, "conversation": TALK, "files": [NOTES]}
ALL = Authority.of(("context.user", "context.conversation", "context.files", "file.read", "compute.heavy"))
PYTHON = """
files = await self.context.files()
return [await self.context.get(), await self.context.user(), await self.context.conversation(), files,
        (await self.file.open(files[0])).decode(), await self.file.list(stored=True)]
"""
JAVASCRIPT = """
const files = await this.context.files();
return [await this.context.get(), await this.context.user(), await this.context.conversation(), files,
  String.fromCharCode(...await this.file.open(files[0])), await this.file.list({ stored: true })];
"""


def shared() -> Kept:
    return Kept(notes=b"hello")


@pytest.mark.jail
@pytest.mark.parametrize("engine", ["python", "node", "quickjs"])
async def test_each_language_sees_what_the_agent_knows(run: Run, jails: Jails, tier: str, engine: str) -> None:
    if engine == "quickjs" and tier != "slots":
        assert "quickjs" not in jails.engines("javascript", strict=True)
        return
    language, body = ("python", PYTHON) if engine == "python" else ("javascript", JAVASCRIPT)
    more: Any = {"engine": engine} if language == "javascript" else {}
    kept = shared()
    kept.lent = lambda: Lent(TICKET)  # type: ignore[method-assign]  # nothing came in the input
    events = await run(language, body, {}, granted=ALL, known=KNOWN, kept=kept, **more)
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.error is None
    whole, *parts = finished.output
    assert {name: whole[name] for name in PARTS} == PARTS
    assert whole["run"] == "orgs/acme/runs/r1"
    assert parts == [USER, TALK, [NOTES], "hello", [NOTES]]
    assert finished.used.permissions == ALL.permissions - {"compute.heavy"}


@pytest.mark.parametrize("part", PARTS)
async def test_a_part_that_is_not_granted_is_a_denial_whether_it_was_given_or_not(part: str) -> None:
    for known in (KNOWN, Known()):
        async with client_of({}) as client:
            others = ALL.permissions - {f"context.{part}"}
            broker = broker_of(client, permissions=others, known=known, context={"run": "r"})
            with pytest.raises(BrokerDenied) as denied:
                await broker.ask("context", part, {})
            assert (denied.value.code, denied.value.facts["permission"]) == (
                "PERMISSION_NOT_GRANTED",
                f"context.{part}",
            )
            given = {"run": "r", **{name: value for name, value in PARTS.items() if name != part}}
            told = await broker.ask("context", "get", {})
            assert all(told.pop(name) for name in ("at", "seed"))
            assert told == (given if known is KNOWN else {"run": "r"})
            assert f"context.{part}" not in broker.usage.permissions


async def test_what_was_not_given_is_nothing() -> None:
    async with client_of({}) as client:
        broker = broker_of(client)
        assert [await broker.ask("context", part, {}) for part in PARTS] == [None, None, []]
        with pytest.raises(BrokerDenied) as denied:
            await broker.ask("context", "secrets", {})
        assert denied.value.code == "SERVICE_UNKNOWN"


@pytest.fixture
async def executor(jails: Jails, world: World) -> AsyncIterator[Executor]:
    async with client_of({}) as http:
        yield Executor(world, world, jails, http, SystemClock(), Limits(), files=shared())


@pytest.fixture
def world() -> World:
    return World()


LOOKS = python("""
from hardpoint_sdk import BrokerError
seen = {}
for part in ("user", "conversation", "files"):
    try: seen[part] = await getattr(self.context, part)()
    except BrokerError as error: seen[part] = error.message
try: seen["opened"] = (await self.file.open("orgs/acme/files/notes")).decode()
except BrokerError as error: seen["opened"] = error.code
return seen
""")
CALLS = python('return await self.call("looks.run", {})')


def knowing(execution: Execution) -> Execution:
    return replace(execution, known=KNOWN, files=Lent(TICKET))


@pytest.mark.jail
async def test_a_callee_sees_what_it_and_its_caller_were_granted(world: World, executor: Executor) -> None:
    everything, little = ALL, Authority.of(("context.user", "file.read", "compute.heavy"))

    async def seen(caller: Authority, callee: Authority) -> Any:
        calls = world.add("calls", CALLS, world.callee("looks", LOOKS, authority=callee), authority=caller)
        finished = await executor.execute_to_end(SYSTEM("acme"), knowing(calls))
        assert finished.error is None
        return finished.output

    assert await seen(everything, everything) == {**PARTS, "opened": "hello"}
    own = await seen(everything, little)
    assert (own["user"], own["opened"]) == (USER, "FILE_NOT_GIVEN")
    assert own["files"] == "context.files() needs the permission context.files, which is not granted"
    callers = await seen(little, everything)
    assert (callers["user"], callers["opened"]) == (USER, "FILE_NOT_GIVEN")
    assert callers["conversation"] == "context.conversation is not granted to caller calls"
