"""What an executor leaves that dies without a word is gone after its next start, and nothing of a living one's."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from executor.process import Artifacts, ExecutorProcess
from hardpoint_executor.jail.cgroups import MOUNT, remove_dead_groups
from hardpoint_executor.jail.leftovers import Folder, clear_leftovers
from serving import Serve

from .conftest import descendants, processes
from .programs import javascript, python
from .shared import TIERS, SharedJails


def folders_of(pids: Iterable[int]) -> set[Path]:
    """Where the configurations of these nsjails lie."""
    commands = [command.split("\0") for pid, (_, _, command) in processes().items() if pid in pids]
    return {Path(command[2]).parent for command in commands if command[1:2] == ["--config"]}


def there(folders: Iterable[Path]) -> list[Path]:
    return [folder for folder in folders if folder.exists()]


def mounts() -> str:
    return Path("/proc/self/mounts").read_text()


def groups_of(pids: Iterable[int]) -> list[Path]:
    names = {f"NSJAIL.{pid}" for pid in pids}
    parents = [MOUNT / "hardpoint", MOUNT / "memory" / "hardpoint", MOUNT / "pids" / "hardpoint"]
    return [parent / name for parent in parents for name in names if (parent / name).exists()]


@pytest.fixture
def own_tmp() -> Iterator[Path]:
    """A place for temporary files that no other test's executor clears up."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


class Waits:
    """A door that answers when it is told to."""

    def __init__(self) -> None:
        self.asked, self.over = asyncio.Event(), asyncio.Event()

    async def ask(self, service: str, method: str, arguments: dict, /) -> dict:
        self.asked.set()
        await self.over.wait()
        return {"status": 200, "headers": {}, "body": "", "encoding": "utf-8"}


async def test_nothing_of_a_killed_executor_is_left_after_its_next_start(
    shared_jails: SharedJails, serve: Serve, tmp_path: Path, own_tmp: Path
) -> None:
    tiers = [await shared_jails.of(tier) for tier in TIERS]
    mounted, doors = mounts(), [Waits() for _ in tiers]
    waiting = python("await self.fetch('https://a.test/')\nreturn 1", wall_seconds=60)
    neighbours = [asyncio.create_task(jails.run(waiting, door)) for jails, door in zip(tiers, doors, strict=True)]
    for door in doors:
        await door.asked.wait()
    artifacts = Artifacts()
    registry = await serve(artifacts.unit())
    executor = ExecutorProcess(tmp_path, artifacts, f"127.0.0.1:{registry.port}", {"TMPDIR": str(own_tmp)})
    await executor.process.start()
    try:
        calls = await busy(executor)
        left = descendants(executor.pid)
        made = folders_of(left)
        assert list(left.values()).count("nsjail") > len(calls), "some jails are idle"
        assert groups_of(left)
        await executor.process.kill()
        await asyncio.gather(*calls, return_exceptions=True)
        assert left.keys() & processes().keys(), "what a plugin runs goes on"
        assert len(made) == len(there(made)) > 0

        await executor.process.start()
        assert not left.keys() & processes().keys()
        assert not there(made)
        assert not groups_of(left)
        assert mounts() == mounted
        assert "what it left is removed" in executor.log()
        for door in doors:
            door.over.set()
        for neighbour in neighbours:
            assert (await neighbour).value == 1, "a living executor's jail is let alone"
    finally:
        await executor.process.stop()


async def busy(executor: ExecutorProcess) -> list[asyncio.Task[list]]:
    """Calls in both languages whose plugins run and do not end."""

    async def calling(number: int, call) -> list:
        async with executor.caller() as caller:
            request = executor.request(call.source, call.filename, f"e{number}")
            events = []
            async for event in caller.Execute(request, timeout=60):
                events.append(event)
                if event.log.message == "here":
                    runs[number].set()
            return events

    plugins = [python("self.log('here')\nimport time\ntime.sleep(600)"), javascript("this.log('here'); for (;;) {}")]
    runs = [asyncio.Event() for _ in plugins]
    calls = [asyncio.create_task(calling(number, call)) for number, call in enumerate(plugins)]
    await asyncio.wait((*calls, asyncio.gather(*(run.wait() for run in runs))), return_when=asyncio.FIRST_COMPLETED)
    assert not any(call.done() for call in calls)
    return calls


def test_a_folder_lives_as_long_as_its_process(own_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(own_tmp))
    mine = Folder()
    code = "import os, signal; from hardpoint_executor.jail.leftovers import Folder; print(Folder().path, flush=True)"
    dies = f"{code}; os.kill(os.getpid(), signal.SIGKILL)"
    path = os.pathsep.join(sys.path)
    died = subprocess.run(
        [sys.executable, "-c", dies],
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(own_tmp)},
        capture_output=True,
        text=True,
        check=False,
    )
    dead = Path(died.stdout.strip())
    assert dead.is_dir()
    cleared = clear_leftovers()
    assert cleared.folders == 1
    assert not dead.exists()
    assert mine.path.is_dir()
    mine.remove()
    assert not mine.path.exists()


def test_what_another_user_or_a_link_has_put_there_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.mkdir()
    link = Path(tempfile.gettempdir()) / f"hardpoint-launcher-link{os.getpid()}"
    foreign = Path(tempfile.gettempdir()) / f"hardpoint-launcher-foreign{os.getpid()}"
    link.symlink_to(target)
    foreign.mkdir()
    if os.geteuid() == 0:
        os.chown(foreign, 54321, 54321)
    clear_leftovers()
    assert target.is_dir()
    assert foreign.is_dir() or os.geteuid() != 0
    link.unlink()
    if foreign.is_dir():
        foreign.rmdir()


def test_groups_of_processes_that_are_gone_are_removed(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    membership = tmp_path / "membership"
    membership.write_text("0::/unit/hardpoint-executor\n")
    for parent in ("memory/hardpoint", "pids/hardpoint", "hardpoint", "unit/hardpoint"):  # the others are version 2's
        for name in (f"NSJAIL.{gone.pid}", f"probe-{gone.pid}", f"NSJAIL.{os.getpid()}", "somebody's"):
            (tmp_path / parent / name).mkdir(parents=True)
    assert remove_dead_groups(tmp_path, membership) == 8
    assert {group.name for group in (tmp_path / "memory" / "hardpoint").iterdir()} == {
        f"NSJAIL.{os.getpid()}",
        "somebody's",
    }
