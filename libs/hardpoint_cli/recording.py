"""Owns the recording of a call on its caller's disk: where it goes, and what is said of it."""

import os
from pathlib import Path

import typer

from hardpoint.runtime.v1 import agent_pb2, run_pb2
from hardpoint_cli.screen import note
from hardpoint_client import Hardpoint
from hardpoint_kit.errors import ActionFailed


def ready(path: Path) -> None:
    """Make the folder of a recording; raises BadParameter where nothing can be written, before anything is done."""
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"--record {path}: {error.strerror or error}") from None
    if not os.access(path.parent, os.W_OK):
        raise typer.BadParameter(f"--record {path}: {path.parent} cannot be written to")


def keep(path: Path, response: agent_pb2.CallActionResponse) -> None:
    """Write the cassette of a call, and leave it out of the answer; or say why there is none."""
    if response.HasField("cassette"):
        path.write_bytes(response.cassette)
        response.ClearField("cassette")
        note(f"recorded in {path}: look at it before others do; docs/testing.md says how to test with it")
        return
    why = response.unrecorded
    note(f"not recorded: {why.message}  [{why.reason}]")
    note(f"  fix:   {why.fix}")


async def failure(client: Hardpoint, name: str) -> ActionFailed:
    """How a run failed that was answered, since it was to be recorded: as the record has it."""
    run = await client.runs.GetRun(run_pb2.GetRunRequest(name=name))
    error = ActionFailed(run.message, reason=run.reason, place=run.place, fix=run.fix)
    error.metadata = {**run.facts, "run": run.name}
    return error
