"""Writing a capability: `new`, `check` and `outline`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group

from hardpoint_cli.arguments import File
from hardpoint_cli.panels import WRITE
from hardpoint_cli.scaffolds import ENDINGS, Kind, scaffold, typings
from hardpoint_cli.screen import done, next_steps, working
from hardpoint_cli.shell import Answer, command


def add(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "new", panel=WRITE, examples=["hardpoint new http weather", "hardpoint new workflow orders"])(new)
    command(app, "check", panel=WRITE, examples=["hardpoint check weather.yaml"])(check)
    outlined = ["hardpoint outline lookup.yaml > lookup.outline", "hardpoint outline lookup.outline --back"]
    command(app, "outline", panel=WRITE, examples=outlined)(outline)


async def new(
    kind: Annotated[Kind, typer.Argument(help="What it is: a call of a web API, steps, or code.", show_default=False)],
    id: Annotated[str, typer.Argument(help="The capability's id, such as weather-lookup.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> Answer:
    """Write a capability to start from, in this folder. It passes `check` and says what to edit."""
    from hardpoint_kit.errors import AlreadyExists, InvalidArgument
    from hardpoint_kit.names import is_id

    if not is_id(id):
        raise InvalidArgument(
            {"id": f'"{id}" is no id'}, fix="use 1 to 63 lower-case letters, digits and single hyphens between them"
        )
    file = Path(f"{id}{ENDINGS[kind]}")
    if not _written(file, scaffold(kind, id), force):
        raise AlreadyExists(f"{file} exists", fix="choose another id, or overwrite it with --force")
    name, types = typings(kind)
    if name:
        _renew(Path(name), types)
    steps = next_steps(f"hardpoint check {file}", f"hardpoint test {file}", f"hardpoint push {file} --publish")
    wrote = f"wrote {file}, and the types of what it is offered: {name}" if name else f"wrote {file}"
    named = {"types": name} if name else {}
    return Answer({"file": str(file), "kind": kind, "id": id, **named}, Group(done(wrote), steps))


async def check(file: File) -> Answer:
    """Say what is wrong with a capability's file, where, and how to put it right; nothing is uploaded.

    YAML and JSON are checked here. The header of a code file is read by the server, in the jail: for that one needs
    to be logged in.
    """
    from hardpoint_cli.findings import checked

    with working(f"checking {file.name}"):
        found = await checked(file)
    return Answer(found.document, found.shown, found.report.ok)


async def outline(
    file: File,
    back: Annotated[
        bool,
        typer.Option("--back", help="The file is an outline, or a canvas as .json: print its flow, for below `flow:`."),
    ] = False,
) -> Answer:
    """Show a flow as indented lines, node after node, to read and to edit; with --json also as its canvas.

    Nothing is lost on the way there and back; comments are no part of a flow.
    """
    from hardpoint_cli.drawing import drawn, outlined

    return drawn(file) if back else outlined(file)


def _written(file: Path, text: str, force: bool) -> bool:
    """Write a file; false when it is there and may not be overwritten."""
    try:
        with file.open("w" if force else "x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        return False
    return True


def _renew(file: Path, text: str) -> None:
    """Write a file that is ours, also in the place of an older one; what somebody else wrote stays."""
    begins = text.partition("\n")[0]
    if not file.exists() or file.read_text(encoding="utf-8", errors="replace").partition("\n")[0] == begins:
        file.write_text(text, encoding="utf-8")
