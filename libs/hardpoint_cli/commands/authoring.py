"""Writing a capability: `new`, `check`, `test`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from hardpoint_cli.arguments import File
from hardpoint_cli.panels import WRITE
from hardpoint_cli.scaffolds import ENDINGS, Kind, scaffold, typings
from hardpoint_cli.screen import done, fields, next_steps, working
from hardpoint_cli.shell import Answer, command

if TYPE_CHECKING:
    from hardpoint_cli.findings import Checked
    from hardpoint_cli.observation import Minimum, Seen
    from hardpoint_client import Hardpoint
    from hardpoint_manifest.model import Example


def add(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "new", panel=WRITE, examples=["hardpoint new http weather", "hardpoint new workflow orders"])(new)
    command(app, "check", panel=WRITE, examples=["hardpoint check weather.yaml"])(check)
    command(
        app,
        "test",
        panel=WRITE,
        examples=[
            "hardpoint test weather.yaml --settings weather-lookup",
            "hardpoint test cleaner.py",
            "hardpoint test cleaner.py --observe",
            "hardpoint test customer-lookup.yaml --step format --with steps.json",
        ],
    )(run_examples)


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


async def run_examples(
    file: File,
    settings: Annotated[
        str, typer.Option(help="Settings and secrets to use: those of an installation, or of a name of your own.")
    ] = "",
    observe: Annotated[
        bool,
        typer.Option("--observe", help="Say which permissions and hosts the examples used, and patch the rest away."),
    ] = False,
    step: Annotated[
        str, typer.Option(metavar="ID", help="Run one step of a flow alone, with the input of the first example.")
    ] = "",
    pinned: Annotated[
        Path | None,
        typer.Option(
            "--with",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="JSON: what the steps before it gave, by id.",
            show_default=False,
        ),
    ] = None,
) -> Answer:
    """Run the file's examples on the server, and compare what comes with what each expects.

    The file is pushed as a draft, which only your own org can see; a draft of the same version is replaced. A draft is
    tested with all that it asks for, so --observe can tell what of it the examples needed.
    """
    from hardpoint_cli.findings import checked
    from hardpoint_cli.observation import Seen
    from hardpoint_cli.pushing import push_draft
    from hardpoint_cli.session import connect
    from hardpoint_kit.errors import Conflict

    found = await checked(file)
    if not found.report.ok or found.report.manifest is None:
        return Answer(found.document, found.shown, ok=False)
    examples = found.report.manifest.examples
    if step:
        return await _run_step(found, step, pinned, settings)
    if not examples:
        raise Conflict(f"{file} has no examples, so there is nothing to test", fix="add `examples` to it")
    async with connect() as client:
        with working("pushing the draft"):
            pushed, _ = await push_draft(client, found)
            release = pushed.release.name
        results = []
        seen = Seen()
        for number, example in enumerate(examples, 1):
            with working(f"running example {number} of {len(examples)}"):
                result, seen = await _tried(client, release, example, settings, seen)
                results.append(result)
    failed = sum(not result["ok"] for result in results)
    verdict = f"{len(results) - failed} of {len(results)} examples hold"
    lines = [*map(_shown, results), Text.assemble(("✗ ", "red") if failed else ("✓ ", "green"), verdict)]
    told: dict[str, Any] = {"release": release, "ok": not failed, "examples": results}
    if observe:
        told["observed"], shown = _observed(found, seen, seen.runs == len(results))
        lines.append(shown)
    return Answer(told, Group(*lines), not failed)


async def _run_step(found: "Checked", step: str, pinned: Path | None, settings: str) -> Answer:
    """Run one step of the file's flow as a draft; what it gives."""
    import json

    from hardpoint_cli.inputs import whole
    from hardpoint_cli.pushing import push_draft
    from hardpoint_cli.session import connect
    from hardpoint_client.client import output_of
    from hardpoint_manifest.plan import ACTION

    assert found.report.manifest is not None
    examples = found.report.manifest.examples
    given = examples[0].input if examples else {}
    steps = whole(_text(pinned)) if pinned else {}
    async with connect() as client:
        with working("pushing the draft"):
            pushed, _ = await push_draft(client, found)
        with working(f"running {step}"):
            response = await client.test(pushed.release.name, ACTION, given, settings=settings, step=step, steps=steps)
    output = output_of(response)
    told = {"release": pushed.release.name, "step": step, "output": output, "run": response.run}
    return Answer(told, Group(done(f"{step} gave"), Text(json.dumps(output, ensure_ascii=False, indent=2))))


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


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


async def _tried(
    client: "Hardpoint", release: str, example: "Example", settings: str, seen: "Seen"
) -> tuple[dict[str, Any], "Seen"]:
    from hardpoint_client.client import output_of
    from hardpoint_kit.errors import HardpointError, Unauthenticated, Unavailable
    from hardpoint_manifest.authority import Authority
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
        return {**result, "ok": False, "output": None, "differences": [], "error": told}, seen
    output = output_of(response)
    found = list(differences(example.expected_output, output)) if example.expected_output is not None else []
    used = Authority(frozenset(response.used.permissions), frozenset(response.used.hosts))
    result |= {"ok": not found, "output": output, "differences": found, "error": None, "run": response.run}
    return result, seen.and_run(example.action, used, response.usage.wall_ms / 1000)


def _observed(checked: "Checked", seen: "Seen", complete: bool) -> tuple[dict[str, Any], RenderableType]:
    """What the runs needed, as a document and for people; an example that failed may need what it did not come to."""
    from dataclasses import asdict

    from hardpoint_cli.explanation import lines_of
    from hardpoint_cli.observation import minimum

    used = {"permissions": sorted(seen.used.permissions), "hosts": sorted(seen.used.hosts)}
    told: dict[str, Any] = {"runs": seen.runs, "complete": complete, "used": used}
    if not complete or checked.report.manifest is None:
        words = "an example failed before its end, so what it needs was not all seen: nothing is proposed"
        return {**told, "minimum": None, "removed": [], "never_run": [], "patch": [], "lines": []}, Text(
            words, "yellow"
        )
    least = minimum(checked.read_again(), checked.report.manifest, seen)
    patch = [asdict(operation) for operation in least.patch]
    lines = lines_of(patch, checked.file.name)
    told |= {"minimum": least.lists, "removed": list(least.removed), "never_run": list(least.never_run)}
    return {**told, "patch": patch, "lines": lines}, _observed_view(seen, least, lines)


def _observed_view(seen: "Seen", least: "Minimum", lines: list[str]) -> RenderableType:
    """What was observed, for people."""
    import json

    from hardpoint_manifest.finding import Severity

    runs = f"{seen.runs} run{'' if seen.runs == 1 else 's'}"
    about: dict[str, RenderableType] = {
        "used": ", ".join([*sorted(seen.used.permissions), *sorted(seen.used.hosts)]) or "nothing",
        "not used": ", ".join(least.removed) or "nothing that is written",
        "patch": Text("\n".join(f"{one.op} {one.path} {json.dumps(one.value)}" for one in least.patch)),
        "or write": Text("\n".join(lines)),
        "never run": ", ".join(least.never_run),
    }
    parts: list[RenderableType] = [
        Text(f"\nobserved in {runs}; what the examples do not come to was not seen:", "bold"),
        fields({label: value for label, value in about.items() if str(value)}),
    ]
    if not least.report.ok:
        errors = [Text(str(one)) for one in least.report.findings if one.severity is Severity.ERROR]
        parts += [Text("with this patch the check would say:", "yellow"), *errors]
    return Group(*parts)


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
