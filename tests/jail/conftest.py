"""Real jails for tests, what answers them, and what is to be seen of them from outside."""

import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hardpoint_executor.jail import BrokerDenied, JailCall, Jails, selftest
from hardpoint_executor.jail import jails as jails_module

from .in_slots import started
from .programs import javascript, quickjs
from .shared import TIERS, SharedJails

Program = Callable[..., JailCall]


class RecordedDoor:
    """Answers every fetch with the same page and remembers what was asked; refuses what starts with `refuse`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Mapping[str, Any]]] = []

    async def ask(self, service: str, method: str, arguments: Mapping[str, Any], /) -> Any:
        self.asked.append((service, method, arguments))
        if "refuse" in arguments["url"]:
            raise BrokerDenied("HOST_NOT_GRANTED", "host refuse.example is not granted")
        body = f'{{"url": "{arguments["url"]}"}}'
        return {"status": 200, "headers": {"content-type": "application/json"}, "body": body, "encoding": "utf-8"}


@pytest.fixture
def door() -> RecordedDoor:
    return RecordedDoor()


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that other users may walk to; those of pytest are closed whenever another session starts."""
    folder = Path(tempfile.mkdtemp(prefix="hardpoint-jail-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session", params=TIERS)
def tier(request: pytest.FixtureRequest) -> str:
    """Which tier the jails of a test have: the usual one of each language, or an nsjail for every call."""
    return request.param


@pytest.fixture
async def jails(tier: str, shared_jails: SharedJails) -> Jails:
    """Jails of a tier, for tests that do not break them."""
    return await shared_jails.of(tier)


@pytest.fixture(params=[javascript, quickjs], ids=["node", "quickjs"])
def program(request: pytest.FixtureRequest) -> Program:
    """`program(body)` is a call of an action in JavaScript, on each engine of it."""
    return request.param


@pytest.fixture
async def slotted() -> AsyncIterator[Jails]:
    """Two slots at most."""
    jails = await started()
    yield jails
    await jails.stop()


@pytest.fixture
async def alone(shared_jails: SharedJails) -> None:
    """No jails that other tests left waiting: for a test that changes how jails are made, or looks for what is left."""
    await shared_jails.stop()


_held: set[str] = set()
"""Kinds of jails whose walls were found to hold in this process."""


@pytest.fixture
def tested_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Walls are tested at the first start of each kind of jail: for tests that start many, all made alike."""
    tested = selftest.walls_down

    async def walls_down(calls: selftest.Runs, engine: str, jail: str) -> list[str]:
        down = [] if jail in _held else await tested(calls, engine, jail)
        if not down:
            _held.add(jail)
        return down

    monkeypatch.setattr(jails_module, "walls_down", walls_down)


def supervisors() -> set[int]:
    """The nsjail processes that this process has started and not reaped."""
    return {pid for pid, (name, parent, _) in processes().items() if name == "nsjail" and parent == os.getpid()}


def left_behind() -> set[int]:
    """The nsjail processes of this process whose configuration is gone, which is removed last when jails stop."""
    running = processes()
    return {pid for pid in supervisors() & running.keys() if not Path(running[pid][2].split("\0")[2]).exists()}


def orphans() -> list[str]:
    """Jailed processes of this machine that no nsjail supervises; the children of a slot are its zygote's."""
    running = processes()

    def supervised(pid: int) -> bool:
        name, parent, _ = running.get(pid, ("", 0, ""))
        return name == "nsjail" or (parent in running and supervised(parent))

    return [
        f"{name} {pid}"
        for pid, (name, parent, command) in running.items()
        if re.search(r"hardpoint_sdk(\.(boot|zygote) import|/boot\.mjs)", command)
        and parent in running
        and not supervised(pid)
    ]


def descendants(pid: int) -> dict[int, str]:
    """The processes below one, with their names."""
    running = processes()
    found: dict[int, str] = {}
    below = {pid}
    while below := {child for child, (_, parent, _) in running.items() if parent in below}:
        found.update({child: running[child][0] for child in below})
    return found


def processes() -> dict[int, tuple[str, int, str]]:
    """Every process of this machine that has not ended: its name, parent and command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(")")
            state, parent = rest.split()[:2]
            if state != "Z":
                found[int(folder.name)] = name, int(parent), (folder / "cmdline").read_text()
        except OSError:
            continue  # it ended meanwhile
    return found
