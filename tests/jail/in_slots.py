"""Jails of few slots, and what is to be seen of these from outside."""

import asyncio
import os
from pathlib import Path

from hardpoint_executor.jail import ClosedDoor, Event, JailCall, JailOptions, Jails, Outcome, SlotOptions
from hardpoint_executor.jail.slots import Slots

from .programs import python


async def started(**sizes) -> Jails:
    slots = SlotOptions(**{"most": 2, "clean": 1, "queue": 100, "queue_seconds": 30, **sizes})
    jails = Jails(JailOptions(languages=("python",), slots=slots))
    await jails.start()
    assert jails.reasons_not_ready() == []
    return jails


def slots_of(jails: Jails) -> Slots:
    return jails._calls["python", True].pool


async def run(jails: Jails, body: str, input=None, **rest) -> Outcome:
    return await jails.run(python(body, input, **rest), ClosedDoor())


async def idle(jails: Jails) -> set[int]:
    """The zygotes, once nothing runs, starts or gets another child."""
    slots = slots_of(jails)
    while slots._taken or slots._renewing or slots._starts or slots._tasks:
        await asyncio.sleep(0.005)
    return {slot.pid for slot in slots._ready}


def owner_of(jails: Jails) -> dict[tuple[str, str] | None, int]:
    return {slot.owner: slot.pid for slot in slots_of(jails)._ready}


def process(pid: int) -> dict[str, str]:
    """What the kernel tells of a process: its status, its namespaces, and who owns its files in /proc."""
    folder = Path(f"/proc/{pid}")
    told = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines())
    told |= {link.name: os.readlink(link) for link in (folder / "ns").iterdir()}
    return {**told, "owner": str((folder / "environ").stat().st_uid)}


async def begin(jails: Jails, call: JailCall) -> asyncio.Task[Outcome]:
    """Start a call that logs, and wait until it did."""
    runs = asyncio.Event()

    async def hear(event: Event) -> None:
        runs.set()

    task = asyncio.create_task(jails.run(call, ClosedDoor(), hear))
    await runs.wait()
    return task
