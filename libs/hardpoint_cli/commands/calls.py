"""Calling an action as an agent: `call`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.json import JSON
from rich.text import Text

from hardpoint_cli import completion
from hardpoint_cli.arguments import Agent
from hardpoint_cli.inputs import by_schema, bytes_of, files_of, pairs, whole
from hardpoint_cli.panels import AGENTS
from hardpoint_cli.screen import note, working
from hardpoint_cli.shell import Answer, command

if TYPE_CHECKING:
    from hardpoint_client import Hardpoint


def add(app: typer.Typer) -> None:
    """Add the command."""
    command(
        app,
        "call",
        panel=AGENTS,
        examples=[
            'hardpoint call helper weather-lookup.get-weather location="New York"',
            "hardpoint call helper reader.read file=@invoice.pdf",
            "hardpoint call helper cleaner.clean --input - < rows.json",
            "hardpoint call helper get-weather location=Rome --json | jq .output",
            "hardpoint call helper letters.write --user name=Ada --user locale=en-GB --file @notes.txt",
            "hardpoint call helper orders.order item=7 --dry-run",
            "hardpoint call helper orders.order item=7 --expect-plan sha256:...",
            "hardpoint call helper get-weather location=Rome --record cassettes/rome.json",
        ],
    )(call)


async def call(
    agent: Agent,
    action: Annotated[
        str,
        typer.Argument(
            help="weather-lookup.get-weather; get-weather alone where only one capability has it.",
            autocompletion=completion.actions,
            show_default=False,
        ),
    ],
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="The input, read as the types it declares; @PATH is a file."),
    ] = None,
    input: Annotated[str, typer.Option(metavar="JSON|-", help="The whole input as JSON; - reads it from stdin.")] = "",
    oversize_to_file: Annotated[
        bool, typer.Option("--oversize-to-file", help="Store an output that is too large, and show what is in it.")
    ] = False,
    user: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Whom the agent acts for: id, name, email, locale, time_zone."),
    ] = None,
    conversation: Annotated[
        str, typer.Option(metavar="JSON|-", help='What was said: {"messages": [{"role": "user", "text": ".."}]}.')
    ] = "",
    file: Annotated[
        list[str] | None, typer.Option(metavar="@PATH|FILE", help="A file that was shared in the conversation.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing, and show the plan of what would be written.")
    ] = False,
    expect_plan: Annotated[
        str, typer.Option(metavar="DIGEST", help="Write what this plan of a dry run has, and nothing else.")
    ] = "",
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            writable=True,
            help="Write down what it does outside, as a cassette for `hardpoint test`; for who may test.",
            show_default=False,
        ),
    ] = None,
) -> Answer:
    """Call an action as an agent would: the same checks, grants, limits and record."""
    from hardpoint.runtime.v1 import run_pb2
    from hardpoint_cli.documents import document, duration, word
    from hardpoint_cli.effects import plan_shown
    from hardpoint_cli.names import short
    from hardpoint_cli.recording import failure, keep, ready
    from hardpoint_cli.session import connect
    from hardpoint_client.client import output_of
    from hardpoint_client.context import CallContext
    from hardpoint_kit.errors import InvalidArgument

    if values and values[0].lstrip().startswith("{"):
        raise typer.BadParameter("an argument is not of the form key=value; an input as JSON goes to --input")
    if values and input:
        raise typer.BadParameter("give the input as key=value or with --input, not both")
    if record:
        ready(record)
    said = whole(conversation, "--conversation") if conversation else None
    async with connect() as client:
        params = whole(input) if input else {}
        if values or "." not in action:
            action, schema = await _tool(client, agent, action)
            words, files = files_of(values or [], schema)
            params = params or {**by_schema(words, schema), **await _stored(client, files)}
        shared = await _stored(client, {text: text for text in file or []})
        known = CallContext(pairs(user or []), said, [shared[text] for text in file or []])
        try:
            with working(f"calling {action}"):
                response = await client.call(
                    agent,
                    action,
                    params,
                    oversize_to_file=oversize_to_file,
                    dry_run=dry_run,
                    expect_plan=expect_plan,
                    record=record is not None,
                    context=known,
                )
        except InvalidArgument as error:
            if error.reason in {"INPUT_INVALID", "ACTION_NAME_INVALID"} or not error.fix:
                error.fix = f"`hardpoint tools {agent}` shows the actions and what they take"
            raise
        if record:
            keep(record, response)
        if record and response.state == run_pb2.RUN_STATE_FAILED:
            raise await failure(client, response.run)
        output = output_of(response)
        release, run = short(response.release, client.org), short(response.run, client.org)
        note(f"{release}, {duration(response.usage.wall_ms)}, run {run}")
        if response.HasField("plan"):
            return Answer({**document(response), "output": output}, plan_shown(response.plan))
        if response.effects_left:
            note(f"{response.effects_left} effects of the plan were not done")
        if response.state:
            goes_on = f"{word(response, 'state')}: {response.message or 'it has not ended yet'}; hardpoint watch {run}"
            return Answer({**document(response), "output": output}, goes_on)
        return Answer({**document(response), "output": output}, _shown(output))


async def _tool(client: "Hardpoint", agent: str, action: str) -> tuple[str, dict[str, Any]]:
    """The full name of an action and its input schema; an unknown one is left for the server to refuse."""
    from hardpoint_kit.documents import from_struct

    found = {tool.name: tool for tool in await client.tools(agent)}
    meant = [name for name in found if name == action or name.partition(".")[2] == action]
    if len(meant) > 1 and action not in found:
        raise typer.BadParameter(f"{action} is one of {', '.join(meant)}: say which")
    name = action if action in found or not meant else meant[0]
    return name, from_struct(found[name].input_schema) if name in found else {}


async def _stored(client: "Hardpoint", files: dict[str, str]) -> dict[str, Any]:
    """The handles of files: those at a path are uploaded first."""
    from hardpoint_client.files import handle_of

    paths = {key: Path(text[1:]) for key, text in files.items() if text.startswith("@")}
    if missing := [str(path) for path in paths.values() if not path.is_file()]:
        raise typer.BadParameter(f"there is no file {missing[0]}")
    found = {key: {"id": client.named("files", text)} for key, text in files.items() if key not in paths}
    for key, path in paths.items():
        with working(f"uploading {path.name}"):
            kept = await client.upload_file(bytes_of(path), path.name)
        found[key] = handle_of(kept)
        note(f"{path.name} is stored as {kept.name.rpartition('/')[2]}")
    return found


def _shown(output: Any) -> RenderableType:
    if isinstance(output, str):
        return Text(output)
    return JSON(json.dumps(output, ensure_ascii=False), highlight=True)
