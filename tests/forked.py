"""Starts `hardpointd` as it is started from the command line, but forked from a process that has imported all of it.

A start takes a second of the processor for that, and the tests make a hundred. What is forked has its own environment,
log and arguments, and is killed and waited for like any process.
"""

import asyncio
import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import demo.daemon

from hardpointd.catalog import UNITS

_serve_from_command_line = demo.daemon.serve
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["httpx", "hardpointd.daemon", *(f"hardpoint_{unit}.server" for unit in UNITS)])


class Forked:
    """What `asyncio.subprocess.Process` says and does, of a process that was forked."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        await asyncio.to_thread(self._process.join)
        assert self.returncode is not None
        return self.returncode


@contextmanager
def from_command_line() -> Iterator[None]:
    """Start as users do, until the block ends."""
    usual, demo.daemon.serve = demo.daemon.serve, _serve_from_command_line
    try:
        yield
    finally:
        demo.daemon.serve = usual


async def serve(units: Sequence[str], environment: Mapping[str, str], log: Path) -> Forked:
    """Stands in for `demo.daemon.serve`."""
    process = FORKS.Process(target=_serve, args=(units, dict(environment), str(log)), daemon=True)
    await asyncio.to_thread(process.start)  # the first one imports
    return Forked(process)


def _serve(units: Sequence[str], environment: Mapping[str, str], log: str) -> None:
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(written, stream)
    os.close(written)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = environment["PYTHONPATH"].split(os.pathsep)
    for folder in map(Path, sys.path):
        if (first := folder / "sitecustomize.py").exists():
            runpy.run_path(str(first))
            break
    sys.argv = ["hardpointd", "serve", *units]
    runpy.run_module("hardpointd", run_name="__main__")
