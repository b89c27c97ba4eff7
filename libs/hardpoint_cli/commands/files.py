"""Stored files: `file upload`, `list`, `get`, `delete`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType

from hardpoint_cli.panels import AGENTS
from hardpoint_cli.screen import done, fields, next_steps, table, working
from hardpoint_cli.shell import Answer, command

if TYPE_CHECKING:
    from hardpoint.files.v1 import files_pb2

Name = Annotated[str, typer.Argument(metavar="FILE", help="The file's id, from `file list`.", show_default=False)]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    file = typer.Typer(help="Files that your org keeps: actions take them, and give them.")
    command(file, "upload", examples=["hardpoint file upload invoice.pdf", "hardpoint file upload rows.csv --days 7"])(
        upload
    )
    command(file, "list", examples=["hardpoint file list", "hardpoint file list --run 019ca94-5b1e7cc1a1b2"])(list_)
    command(file, "get", examples=["hardpoint file get FILE", "hardpoint file get FILE --output copy.pdf --force"])(get)
    command(file, "delete", examples=["hardpoint file delete FILE"])(delete)
    app.add_typer(file, name="file", rich_help_panel=AGENTS, no_args_is_help=True)


async def upload(
    path: Annotated[
        Path,
        typer.Argument(
            help="The file, of at most 32 MiB.", exists=True, dir_okay=False, readable=True, show_default=False
        ),
    ],
    name: Annotated[str, typer.Option(help="What to call it; the file's own name when left out.")] = "",
    type: Annotated[str, typer.Option(metavar="TYPE", help="Such as text/csv; counts where the bytes are text.")] = "",
    days: Annotated[
        float | None, typer.Option(min=0.01, max=36500, help="Forget it after so many days; never when left out.")
    ] = None,
) -> Answer:
    """Store a file, to be passed to actions by its handle."""
    from datetime import UTC, datetime, timedelta

    from hardpoint_cli.documents import document
    from hardpoint_cli.inputs import bytes_of
    from hardpoint_cli.names import short
    from hardpoint_cli.session import connect
    from hardpoint_client.files import handle_of

    until = datetime.now(UTC) + timedelta(days=days) if days else None
    async with connect() as client:
        with working(f"uploading {path.name}"):
            kept = await client.upload_file(bytes_of(path), name or path.name, type=type, expire_time=until)
        file = short(kept.name, client.org)
        shown = Group(
            done(f"{kept.display_name} is stored as {file} ({kept.type})"),
            next_steps(f"hardpoint call AGENT ACTION file={file}"),
        )
        return Answer({"file": document(kept), "handle": handle_of(kept)}, shown)


async def list_(
    run: Annotated[str, typer.Option(metavar="RUN", help="Only those that this run saved.")] = "",
    creator: Annotated[str, typer.Option(metavar="SUBJECT", help="Only those of this person or program.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many at most, the newest first.")] = 20,
) -> Answer:
    """List stored files, the newest first."""
    from hardpoint.files.v1 import files_pb2
    from hardpoint_cli import names
    from hardpoint_cli.documents import document, moment, size
    from hardpoint_cli.session import collect, connect

    async with connect() as client:
        request = files_pb2.ListFilesRequest(
            parent=client.org, creator=creator, run=names.run(run, client.org) if run else ""
        )
        found = await collect(client.files.ListFiles, request, "files", limit)
        rows = [
            (
                names.short(file.name, client.org),
                file.display_name,
                file.type,
                size(file.size_bytes),
                moment(file.create_time),
                moment(file.expire_time),
                names.short(file.run, client.org) or file.creator,
            )
            for file in found
        ]
        shown = table(["file", "name", "type", "size", "stored", "until", "by"], rows, "No files are stored.")
        return Answer({"files": [document(file) for file in found]}, shown)


async def get(
    file: Name,
    output: Annotated[
        str, typer.Option(metavar="PATH", help="Where to write it; in this folder, under its own name, when left out.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> Answer:
    """Take a stored file: its bytes, and what is known of it."""
    from hardpoint.files.v1 import files_pb2
    from hardpoint_cli.documents import document
    from hardpoint_cli.session import connect

    async with connect() as client:
        found = await client.files.GetFile(files_pb2.GetFileRequest(name=client.named("files", file)))
        with working(f"fetching {found.display_name}"):
            data = await client.read_file(found.name)
        # The name is somebody else's text: it never leads out of this folder, nor over what is there.
        target = Path(output) if output else Path(Path(found.display_name).name)
        try:
            with target.open("wb" if force else "xb") as written:
                written.write(data)
        except FileExistsError:
            raise typer.BadParameter(f"{target} is there already: say --force or another --output") from None
        return Answer({"file": document(found), "path": str(target)}, _about(found, target, client.org))


async def delete(file: Name) -> Answer:
    """Remove a stored file for good; handles of it open nothing any more."""
    from hardpoint.files.v1 import files_pb2
    from hardpoint_cli.session import connect
    from hardpoint_client.client import new_request_id

    async with connect() as client:
        name = client.named("files", file)
        await client.files.DeleteFile(files_pb2.DeleteFileRequest(name=name, request_id=new_request_id()))
        return Answer({"file": name}, done(f"file {file} is deleted"))


def _about(file: "files_pb2.File", target: Path, org: str) -> RenderableType:
    from hardpoint_cli.documents import moment, size
    from hardpoint_cli.names import short

    return fields(
        {
            "written to": str(target),
            "type": file.type,
            "size": size(file.size_bytes),
            "by": file.creator,
            "run": short(file.run, org) if file.run else "",
            "stored": moment(file.create_time),
            "until": moment(file.expire_time),
        }
    )
