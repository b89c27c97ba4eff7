"""Root folders and layers that nobody runs on any more are removed, and no others: two executors share one folder."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from hardpoint_executor import server
from hardpoint_executor.jail import JailOptions, Jails, PoolOptions
from hardpoint_executor.jail.holding import Holding, clear_unused
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.platform import Platform

from .conftest import RecordedDoor
from .programs import python
from .wheels import install

DAY = 24 * 3600


def let_pass(folder: Path, seconds: float = 2 * DAY) -> None:
    """Make everything that is built there as old as if it had been taken into use so long ago."""
    for path in folder.iterdir():
        before = path.lstat().st_mtime - seconds
        os.utime(path, (before, before), follow_symlinks=False)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    install(folder, "numpy", "2.0.0", {"numpy/__init__.py": "pi = 3\n"})
    install(folder, "tzdata", "2026.1", {"tzdata/__init__.py": "zones = 1\n"})
    return folder


@asynccontextmanager
async def executor(folder: Path, site: Path, library: str) -> AsyncIterator[Jails]:
    options = JailOptions(
        folder=folder,
        languages=("python",),
        slots=None,
        pool=PoolOptions(waiting=1),
        libraries=(library,),
        libraries_from=site,
    )
    jails = Jails(options)
    await jails.start()
    assert jails.reasons_not_ready() == []
    yield jails
    await jails.stop()


async def imported(jails: Jails, library: str) -> bool:
    outcome = await jails.run(python(f"import {library}\nreturn True", libraries=(library,)), RecordedDoor())
    return outcome.value is True


async def test_what_another_executor_runs_on_stays(reachable: Path, site: Path) -> None:
    async with executor(reachable, site, "numpy") as new:
        async with executor(reachable, site, "tzdata") as old:
            let_pass(reachable)
            before = names(reachable)
            assert clear_unused(reachable) == []
            assert names(reachable) == before
            assert await imported(old, "tzdata")
        (layers,) = clear_unused(reachable)
        assert layers.startswith("layers-")
        assert names(reachable) == before - {layers, f"{layers}.json"}
        assert await imported(new, "numpy")
        async with executor(reachable, site, "tzdata") as again:
            assert names(reachable) == before
            assert await imported(again, "tzdata")
    let_pass(reachable)
    assert set(clear_unused(reachable)) == {name for name in before if not name.endswith(".json")}
    assert names(reachable) == set()


def test_only_what_was_built_here_and_is_old_goes(tmp_path: Path) -> None:
    for name in ("python-0123456789abcdef", "javascript-sdk-0123456789abcdef", "no-layers-0123456789abcdef"):
        (tmp_path / name / "usr").mkdir(parents=True)
    for name in (".python-half", ".layers-0123456789abcdef-77", "python", "others-0123456789abcdef", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "python-file").write_text("")
    (tmp_path / "layers-link").symlink_to(tmp_path / "notes")
    assert clear_unused(tmp_path) == [], "what was just built may be about to be used"
    let_pass(tmp_path, DAY - 60)
    assert clear_unused(tmp_path) == []
    let_pass(tmp_path, 120)
    cleared = clear_unused(tmp_path)
    assert len(cleared) == 5
    assert names(tmp_path) == {"python", "others-0123456789abcdef", "notes", "python-file", "layers-link"}
    assert clear_unused(tmp_path / "nowhere") == []


def test_taking_into_use_begins_the_day_again(tmp_path: Path) -> None:
    folder = tmp_path / "python-0123456789abcdef"
    folder.mkdir()
    let_pass(tmp_path)
    holding = Holding()
    assert holding.hold([folder])
    holding.release()
    assert clear_unused(tmp_path) == []


def test_what_is_gone_is_not_held(tmp_path: Path) -> None:
    holding = Holding()
    assert not holding.hold([tmp_path / "python-0123456789abcdef"])
    holding.release()


def test_the_dead_hold_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "python-0123456789abcdef"
    folder.mkdir()
    code = (
        "import sys; from pathlib import Path; from hardpoint_executor.jail.holding import Holding\n"
        "holding = Holding()\n"
        "print(holding.hold([Path(sys.argv[1])]) and 'held', flush=True)\n"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        let_pass(tmp_path)
        assert clear_unused(tmp_path) == []
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert clear_unused(tmp_path) == [folder.name]


async def test_what_is_removed_before_it_is_held_is_built_again(
    reachable: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another executor may clear up between the two."""
    build, built = Jails._build, []

    def meddled(self: Jails, root: str, folder: Path):
        found = build(self, root, folder)
        if not built:
            let_pass(folder)
            built.extend(clear_unused(folder))
        return found

    monkeypatch.setattr(Jails, "_build", meddled)
    async with executor(reachable, site, "numpy") as jails:
        assert len(built) == 3
        assert await imported(jails, "numpy")


async def test_an_executor_clears_up_when_it_has_started(reachable: Path) -> None:
    for name in ("python-0123456789abcdef", "layers-0123456789abcdef"):
        (reachable / name).mkdir()
    let_pass(reachable)
    (reachable / "layers-fedcba9876543210").mkdir()
    nowhere = grpc.aio.insecure_channel("127.0.0.1:1")
    options = server.Options(executor_rootfs=reachable, executor_slots=0, executor_libraries=[])
    unit = server.build(options, Platform(clock=SystemClock(), channel=lambda _peer: nowhere, state=reachable))
    await unit.start()
    assert await unit.ready() == []
    left = names(reachable)
    await unit.stop()
    assert not {"python-0123456789abcdef", "layers-0123456789abcdef"} & left
    assert "layers-fedcba9876543210" in left
    assert {name.rpartition("-")[0] for name in left} >= {"python", "python-sdk", "javascript", "javascript-sdk"}
