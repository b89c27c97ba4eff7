"""Calls of one run share a jail where they may: what is the same for all of them, and what each has for itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from hardpoint_executor.jail import ClosedDoor, Door, JailCall, JailOptions, Jails, Outcome, OutcomeKind, SlotOptions
from hardpoint_executor.jail import Limits, Together
from hardpoint_executor.jail.slots import Slots

from .conftest import RecordedDoor
from .programs import python, quickjs

pytestmark = pytest.mark.usefixtures("tested_once")

RUN = Together("acme", "r1", "orgs/acme/installations/tested", "tested@1.0.0", "sha256:0")
COUNTS = "import builtins\nbuiltins.n = getattr(builtins, 'n', 0) + 1\nreturn builtins.n\n"


@pytest.fixture
async def jails(shared_jails) -> Jails:
    return await shared_jails.of("slots")


def slots_of(jails: Jails) -> Slots:
    return jails._calls["python", True].pool


async def run(jails: Jails, body: str, input: Any = None, door: Door | None = None, **rest: Any) -> Outcome:
    return await jails.run(python(body, input, **{"together": RUN, **rest}), door or ClosedDoor())


@pytest.fixture(autouse=True)
async def ended(jails: Jails) -> AsyncIterator[None]:
    """No jail waits for a run of another test."""
    yield
    jails.end_run("acme", "r1")


async def test_calls_of_a_run_share_one_jail_and_others_do_not(jails: Jails) -> None:
    assert [(await run(jails, COUNTS)).value for _ in range(3)] == [1, 2, 3]
    assert (await run(jails, COUNTS, together=None)).value == 1
    assert (await run(jails, COUNTS)).value in (1, 4)
