"""One PostgreSQL server under a state folder, shared by every process that asks for it.

Owns `<state>/postgres`: data, log, port, passwords, and two files that are locked with flock:

    lock     held while a server is being started or stopped
    users    held shared by each user of the server; the kernel lets go when a process ends, however it ends

A server is recognised as ours through `/proc`, hence Linux only.
"""

import asyncio
import fcntl
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg.pq import PGconn, Ping

from hardpoint_kit.errors import Unavailable
from hardpointd.postgres.account import Account
from hardpointd.postgres.binaries import OWN_SERVER, Binaries, find_binaries

START_SECONDS = 60.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.01

HOST = "127.0.0.1"
SUPERUSER = "postgres"

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "jit": "off",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
THROW_AWAY_SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "autovacuum": "off"}

# What the server says while the processes of a killed one are still going away, or when its port was just taken.
PASSING_FAILURES = ("lock file", "shared memory block", "could not bind")


class EmbeddedPostgres:
    """A PostgreSQL server under `state` that runs while any process is between `start` and `stop`.

    `durable=False` gives up safety against a crash of the machine for speed: for servers that are thrown away.
    """

    def __init__(self, state: Path, *, durable: bool = True, binaries: Binaries | None = None) -> None:
        self.folder = state.resolve() / "postgres"
        self.port = 0
        self._data = self.folder / "data"
        self._log = self.folder / "log"
        self._durable = durable
        self._binaries = binaries
        self._users: int | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Join the running server or start one, again if it was killed, within START_SECONDS; raises Unavailable."""
        starting = asyncio.create_task(asyncio.to_thread(self._start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            with suppress(Unavailable):
                await starting
            await self.stop()
            raise

    async def stop(self) -> None:
        """Leave the server, and stop it unless somebody else uses it, within STOP_SECONDS; raises Unavailable."""
        await asyncio.to_thread(self._stop)

    async def connect(self) -> psycopg.AsyncConnection[Any]:
        """A connection of the superuser to the maintenance database, in autocommit."""
        return await psycopg.AsyncConnection.connect(
            host=HOST,
            port=self.port,
            user=SUPERUSER,
            password=self.password(SUPERUSER),
            dbname="postgres",
            autocommit=True,
            connect_timeout=5,
        )

    def password(self, role: str) -> str:
        """The password of a role, random, kept in a file that only its owner reads."""
        path = self._password_file(role)
        if not path.exists():
            scratch = path.with_suffix(".new")
            scratch.unlink(missing_ok=True)
            with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(24))
                file.flush()
                os.fsync(file.fileno())
            scratch.rename(path)
        return path.read_text()

    def _password_file(self, role: str) -> Path:
        return self.folder / f"{role}.password"

    def _start(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        try:
            self._make_folders()
            with self._locked(deadline):
                self._leave()
                self._users = self._open("users")
                try:
                    fcntl.flock(self._users, fcntl.LOCK_SH)
                    self._run_until_answering(deadline)
                except BaseException:
                    self._leave()
                    raise
        except OSError as error:
            raise Unavailable(
                f"no database can be kept there: {error}",
                place=str(self.folder),
                fix=f"set HARDPOINT_STATE to a folder of your own, or {OWN_SERVER}",
            ) from error

    def _stop(self) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        if not self.folder.exists():
            return
        with self._locked(deadline):
            if self._users is None:
                self._users = self._open("users")
            try:
                if self._is_last_user(self._users):
                    self._shut_down(deadline)
            finally:
                self._leave()

    def _is_last_user(self, users: int) -> bool:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _leave(self) -> None:
        if self._users is not None:
            os.close(self._users)
            self._users = None

    def _run_until_answering(self, deadline: float) -> None:
        while True:
            if self._postmaster() is None:
                self._launch(deadline)
            elif self._answers():
                return
            self._pause(deadline, "start")

    def _launch(self, deadline: float) -> None:
        """Start the server once; returns without one when only something passing is in the way."""
        account = Account.choose(self._data)
        if account.run(deadline, Path("/usr/bin/test"), "-x", str(self.folder)) is not None:
            raise Unavailable(
                "the user that runs PostgreSQL for root cannot enter the state folder",
                place=str(self.folder),
                fix="set HARDPOINT_STATE to a folder that any user may pass through, such as /var/lib/hardpoint",
            )
        binaries = self._runnable(account, deadline)
        if not self._data.exists():
            self._initialise(account, binaries, deadline)
        if self._postmaster() is not None:
            return  # what a starter began before it was killed has come up meanwhile
        # No process of ours is behind this file, and its number may by now be a stranger's, which the server would
        # take for a server for ever. Whoever still uses the old shared memory, it finds out without the file.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        os.close(self._open("log"))
        account.own(self._log)
        logged = self._log.stat().st_size
        settings = SETTINGS | ({} if self._durable else THROW_AWAY_SETTINGS) | {"port": str(self._choose_port())}
        options = " ".join(f"-c {name}={shlex.quote(value)}" for name, value in settings.items())
        output = account.run(
            deadline,
            binaries.program("pg_ctl"),
            *("start", "--silent", "--wait", f"--timeout={START_SECONDS:.0f}"),
            *(f"--pgdata={self._data}", f"--log={self._log}", f"--options={options}"),
        )
        if output is None:
            return
        words = self._log.read_bytes()[logged:].decode(errors="replace")
        if not any(failure in words for failure in PASSING_FAILURES):
            raise Unavailable(f"PostgreSQL does not start: {_why(words) or output}", place=str(self._log))

    def _initialise(self, account: Account, binaries: Binaries, deadline: float) -> None:
        """Make the data folder; it is whole or not there."""
        for leftover in self.folder.glob("data.*"):
            shutil.rmtree(leftover, ignore_errors=True)
        # A name of its own: initdb outlives a starter that is killed, and may still be writing to the folder it had.
        scratch = Path(tempfile.mkdtemp(prefix="data.", dir=self.folder))
        self.password(SUPERUSER)
        account.own(scratch)
        account.own(self._password_file(SUPERUSER))
        output = account.run(
            deadline,
            binaries.program("initdb"),
            *("--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", "--data-checksums"),
            *(() if self._durable else ("--no-sync",)),
            *(f"--pgdata={scratch}", f"--username={SUPERUSER}", f"--pwfile={self._password_file(SUPERUSER)}"),
        )
        if output is not None:
            raise Unavailable(
                f"PostgreSQL cannot make its data folder: {_why(output) or output}",
                place=str(scratch),
                fix=f"free space there, or set HARDPOINT_STATE to a folder on another disk, or {OWN_SERVER}",
            )
        scratch.rename(self._data)

    def _runnable(self, account: Account, deadline: float) -> Binaries:
        """The binaries, or a copy when the account cannot run them where they are, as in a checkout in root's home."""
        binaries = self._binaries or find_binaries()
        try:
            problem = account.run(deadline, binaries.program("postgres"), "--version")
        except PermissionError:
            binaries = binaries.copied_to(self.folder / f"binaries-{binaries.version}")
            problem = account.run(deadline, binaries.program("postgres"), "--version")
        if problem:
            raise Unavailable(
                f"PostgreSQL's programs do not run on this machine: {problem}",
                place=str(binaries.site),
                fix=f"install PostgreSQL and {OWN_SERVER}",
            )
        return binaries

    def _shut_down(self, deadline: float) -> None:
        if postmaster := self._postmaster():
            os.kill(postmaster, signal.SIGINT)
            while self._is_ours(postmaster):
                self._pause(deadline, "stop")

    def _postmaster(self) -> int | None:
        """The process id of our running server; reads its port on the way."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            process, self.port = int(lines[0]), int(lines[3])
        except (FileNotFoundError, IndexError, ValueError):
            return None
        return process if self._is_ours(process) else None

    def _is_ours(self, process: int) -> bool:
        """Whether the process is a server of this folder and alive: a zombie has no command line."""
        try:
            return os.fsencode(self._data) in Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            return False

    def _answers(self) -> bool:
        target = f"host={HOST} port={self.port} user={SUPERUSER} dbname=postgres connect_timeout=2"
        return PGconn.ping(target.encode()) == Ping.OK

    def _choose_port(self) -> int:
        """The port of last time if it is free, so that addresses others wrote down stay true; else any free one."""
        kept = self.folder / "port"
        wanted = 0
        with suppress(FileNotFoundError, ValueError):
            wanted = int(kept.read_text())
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, wanted))
            except OSError:
                probe.bind((HOST, 0))
            port: int = probe.getsockname()[1]
        kept.write_text(str(port))
        return port

    def _make_folders(self) -> None:
        for folder in (self.folder.parent, self.folder):
            if not folder.exists():
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o711 if os.geteuid() == 0 else 0o700)

    def _open(self, name: str) -> int:
        return os.open(self.folder / name, os.O_RDWR | os.O_CREAT, 0o600)

    @contextmanager
    def _locked(self, deadline: float) -> Iterator[None]:
        descriptor = self._open("lock")
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    self._pause(deadline, "start or stop in another process")
            yield
        finally:
            os.close(descriptor)

    def _pause(self, deadline: float, what: str) -> None:
        if time.monotonic() > deadline:
            raise Unavailable(f"PostgreSQL takes too long to {what}", place=str(self._log))
        time.sleep(POLL_SECONDS)


def _why(words: str) -> str:
    """What a program of PostgreSQL says went wrong, without what it did before."""
    return " ".join(re.findall("(?:FATAL|DETAIL|HINT): +(.*)", words))
