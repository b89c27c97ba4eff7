"""What code may ask to be run with: `engines`."""

import typer
from rich.console import Group
from rich.text import Text

from hardpoint_cli.panels import WRITE
from hardpoint_cli.screen import table
from hardpoint_cli.shell import Answer, command


def add(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "engines", panel=WRITE, examples=["hardpoint engines", "hardpoint engines --json | jq .libraries"])(
        engines
    )


async def engines() -> Answer:
    """List the engines and libraries that code may ask for on this server, and what each library costs a call.

    A code file's header asks for them: `engine: 'node'` in JavaScript, `libraries=["numpy"]` in Python. What an import
    takes, counts within the time of the call; the memory of libraries is given on top of the call's own.
    """
    from hardpoint.executor.v1 import executor_pb2
    from hardpoint_cli.documents import document, duration, size
    from hardpoint_cli.session import connect

    async with connect() as client:
        found = await client.executor.ReadEngines(executor_pb2.ReadEnginesRequest(parent=client.org))
    rows = [(one.language, one.id, "yes" if one.single_use else "no") for one in found.engines]
    engines_table = table(["language", "engine", "a jail for every call"], rows, "no engines")
    libraries = [
        (
            f"{one.id} {one.version}",
            one.about,
            duration(one.import_ms),
            size(one.resident_bytes),
            size(one.disk_bytes),
            ", ".join(one.needs),
        )
        for one in found.libraries
    ]
    head = ["library", "for", "import", "memory", "disk", "brings"]
    return Answer(document(found), Group(engines_table, Text(), table(head, libraries, "no libraries are offered")))
