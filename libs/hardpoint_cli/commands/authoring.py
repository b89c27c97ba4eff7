"""Writing a capability: `new`, `check`, `test`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from hardpoint_cli.arguments import File
from hardpoint_cli.panels import WRITE
from hardpoint_cli.scaffolds import ENDINGS, Kind, scaffold
from hardpoint_cli.screen import done, next_steps, working
from hardpoint_cli.shell import Answer, command

if TYPE_CHECKING:
    from hardpoint_client import Hardpoint
    from hardpoint_manifest.model import Example


def add(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "new", panel=WRITE, examples=["hardpoint new http weather", "hardpoint new python data-cleaner"])(new)
    command(app, "check", panel=WRITE, examples=["hardpoint check weather.yaml"])(check)
    command(
        app,
        "test",
        panel=WRITE,
        examples=["hardpoint test weather.yaml --settings weather-lookup", "hardpoint test cleaner.py"],
    )(run_examples)


async def new(
    kind: Annotated[Kind, typer.Argument(help="What it is: a call of a web API, or code.", show_default=False)],
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
    steps = next_steps(f"hardpoint check {file}", f"hardpoint test {file}", f"hardpoint push {file} --publish")
    return Answer({"file": str(file), "kind": kind, "id": id}, Group(done(f"wrote {file}"), steps))


async def check(file: File) -> Answer:
    """Say what is wrong with a capability's file, where, and how to put it right; nothing is uploaded.

    YAML and JSON are checked here. The header of a code file is read by the server, in the jail: for that one needs
    to be logged in.
    """
    from hardpoint_cli.findings import checked

    with working(f"checking {file.name}"):
        found = await checked(file)
    return Answer(found.document, found.shown, found.report.ok)


async def run_examples(
    file: File,
    settings: Annotated[
        str, typer.Option(help="Settings and secrets to use: those of an installation, or of a name of your own.")
    ] = "",
) -> Answer:
    """Run the file's examples on the server, and compare what comes with what each expects.

    The file is pushed as a draft, which only your own org can see; a draft of the same version is replaced.
    """
    from hardpoint_cli.findings import checked
    from hardpoint_cli.pushing import push_draft
    from hardpoint_cli.session import connect
    from hardpoint_kit.errors import Conflict

    found = await checked(file)
    if not found.report.ok or found.report.manifest is None:
        return Answer(found.document, found.shown, ok=False)
    examples = found.report.manifest.examples
    if not examples:
        raise Conflict(f"{file} has no examples, so there is nothing to test", fix="add `examples` to it")
    async with connect() as client:
        with working("pushing the draft"):
            pushed, _ = await push_draft(client, found)
            release = pushed.release.name
        results = []
        for number, example in enumerate(examples, 1):
            with working(f"running example {number} of {len(examples)}"):
                results.append(await _tried(client, release, example, settings))
    failed = sum(not result["ok"] for result in results)
    verdict = f"{len(results) - failed} of {len(results)} examples hold"
    lines = [*map(_shown, results), Text.assemble(("✗ ", "red") if failed else ("✓ ", "green"), verdict)]
    return Answer({"release": release, "ok": not failed, "examples": results}, Group(*lines), not failed)


def _written(file: Path, text: str, force: bool) -> bool:
    """Write a file; false when it is there and may not be overwritten."""
    try:
        with file.open("w" if force else "x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        return False
    return True


async def _tried(client: "Hardpoint", release: str, example: "Example", settings: str) -> dict[str, Any]:
    from hardpoint_client.client import output_of
    from hardpoint_kit.errors import HardpointError, Unauthenticated, Unavailable
    from hardpoint_manifest.matcher import differences

    result: dict[str, Any] = {"action": example.action, "input": example.input, "expected": example.expected_output}
    try:
        response = await client.test(release, example.action, example.input, settings=settings)
    except (Unauthenticated, Unavailable):
        raise  # says nothing about the example
    except HardpointError as error:
        fix = error.fix
        if error.reason == "SETTINGS_MISSING" and not settings:
            fix += "; then test with --settings and the name that you gave"
        told = {"reason": error.reason, "message": error.message, "place": error.place, "fix": fix}
        return {**result, "ok": False, "output": None, "differences": [], "error": told}
    output = output_of(response)
    found = list(differences(example.expected_output, output)) if example.expected_output is not None else []
    return {**result, "ok": not found, "output": output, "differences": found, "error": None, "run": response.run}


def _shown(result: dict[str, Any]) -> RenderableType:
    import json

    head = Text.assemble(
        ("✓ ", "green") if result["ok"] else ("✗ ", "red"),
        (result["action"], "bold"),
        f" {json.dumps(result['input'], ensure_ascii=False)}",
    )
    lines = [head, *(Text(f"    {difference}") for difference in result["differences"])]
    if result["differences"]:
        lines.append(Text(f"    it gave {json.dumps(result['output'], ensure_ascii=False)}", "dim"))
    if error := result["error"]:
        lines.append(Text.assemble(f"    {error['message']}", (f"  [{error['reason']}]", "dim")))
        lines += [Text(f"    {label}: {error[label]}") for label in ("place", "fix") if error[label]]
    return Group(*lines)
