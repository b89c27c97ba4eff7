"""Testing a capability: `test` runs its examples, on cassettes where there are some, and inputs that do not fit."""

import re
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from hardpoint_cli.arguments import File
from hardpoint_cli.panels import WRITE
from hardpoint_cli.screen import done, fields, table, working
from hardpoint_cli.shell import Answer, command

if TYPE_CHECKING:
    from hardpoint_cli.findings import Checked
    from hardpoint_cli.observation import Minimum, Seen
    from hardpoint_cli.trying import Tried

_ITEM: Final = re.compile(r"/\d+")
"""Which item of a loop a place is of."""
_NOT_OF_WORKFLOWS: Final = {
    "--record": "what its steps give stands in its examples, under `steps`, so there is nothing to record",
    "--observe": "it does nothing outside by itself, and asks for what the actions of its steps ask for",
    "--step": "its steps are actions of other capabilities: test those; what one is given, an example can expect",
    "--with": "what steps give stands in its examples, under `steps`",
    "--settings": "its examples say themselves which `settings` have a value",
}
"""Why these options do nothing for it."""


def add(app: typer.Typer) -> None:
    """Add the command."""
    command(
        app,
        "test",
        panel=WRITE,
        examples=[
            "hardpoint test weather.yaml --settings weather-lookup --record",
            "hardpoint test weather.yaml",
            "hardpoint test cleaner.py --observe",
            "hardpoint test customer-lookup.yaml --step format --with steps.json",
        ],
    )(run_examples)


async def run_examples(
    file: File,
    settings: Annotated[
        str, typer.Option(help="Settings and secrets to use: those of an installation, or of a name of your own.")
    ] = "",
    record: Annotated[
        bool,
        typer.Option("--record", help="Run them outside, and write cassettes of those that hold."),
    ] = False,
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

    An example that has a cassette (cassettes/NAME.json, beside the file) runs on what was recorded: it reaches nobody
    and needs no settings. Then inputs that do not fit each action's schema are sent, which must be refused.

    The file is pushed as a draft, which only your own org can see; a draft of the same version is replaced. A draft is
    tested with all that it asks for, so --observe can tell what of it the examples needed; it leaves cassettes aside.

    A workflow's examples need no server: its plan is walked here, on the answers that they have for its steps.
    """
    from hardpoint_cli.findings import checked
    from hardpoint_cli.observation import Seen
    from hardpoint_cli.pushing import push_draft
    from hardpoint_cli.session import connect
    from hardpoint_cli.tapes import usable
    from hardpoint_cli.trying import Trial

    found = await checked(file)
    manifest = found.report.manifest
    if not found.report.ok or manifest is None:
        return Answer(found.document, found.shown, ok=False)
    if manifest.kind == "workflow":
        options = (("--record", record), ("--observe", observe), ("--step", step), ("--with", pinned))
        return _on_answers(found, next((name for name, given in (*options, ("--settings", settings)) if given), ""))
    if step:
        return await _run_step(found, step, pinned, settings)
    if not manifest.examples:
        raise _no_examples(file)
    async with connect() as client:
        with working("pushing the draft"):
            pushed, _ = await push_draft(client, found, cassettes=usable(file, manifest))
        trial = Trial(client, pushed.release.name, file, manifest, settings, record=record, outside=record or observe)
        results: list[Tried] = []
        for number, example in enumerate(manifest.examples, 1):
            with working(f"running example {number} of {len(manifest.examples)}"):
                results.append(await trial.example(example))
        with working("sending inputs that do not fit"):
            refusals = [one for action in manifest.actions if (one := await trial.misfits(action)) is not None]
        if any(result.how == "recorded" for result in results):
            with working("pushing the cassettes"):
                await push_draft(client, found, cassettes=usable(file, manifest))
    told, lines, ok = _report(pushed.release.name, results, refusals)
    if observe:
        seen = Seen()
        for result in (result for result in results if result.error is None):
            seen = seen.and_run(result.action, result.used, result.wall_seconds)
        told["observed"], shown = _observed(found, seen, seen.runs == len(results))
        lines.append(shown)
    return Answer(told, Group(*lines), ok)


def _on_answers(found: "Checked", option: str) -> Answer:
    """Try the examples of a workflow; raises Conflict NO_TEST for an option that is for other kinds."""
    from hardpoint_cli.trying import on_answers
    from hardpoint_kit.errors import Conflict

    assert found.report.manifest is not None
    if option:
        raise Conflict(
            f"{found.file} is a workflow: {_NOT_OF_WORKFLOWS[option]}",
            reason="NO_TEST",
            place=option,
            fix=f"hardpoint test {found.file}, without {option}",
        )
    if not found.report.manifest.examples:
        raise _no_examples(found.file)
    told, lines, ok = _report("", list(on_answers(found.report.manifest)), [])
    return Answer(told, Group(*lines), ok)


def _no_examples(file: Path) -> Exception:
    from hardpoint_kit.errors import Conflict

    return Conflict(f"{file} has no examples, so there is nothing to test", fix="add `examples` to it")


def _report(
    release: str, results: "list[Tried]", refusals: "list[Tried]"
) -> tuple[dict[str, Any], list[RenderableType], bool]:
    """What was tried, as a document and for people, and whether all of it holds."""
    failed = sum(not result.ok for result in results)
    ok = not failed and all(one.ok for one in refusals)
    lines = [_table([*results, *refusals]), *(_logged(one) for one in results if one.logs)]
    lines += [_failure(one) for one in (*results, *refusals) if not one.ok]
    verdict = f"{len(results) - failed} of {len(results)} examples hold"
    lines.append(Text.assemble(("✓ ", "green") if ok else ("✗ ", "red"), verdict))
    told: dict[str, Any] = {
        "release": release,
        "ok": ok,
        "examples": [result.document for result in results],
        "misfits": [one.document for one in refusals],
    }
    return told, lines, ok


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
    steps = whole(_text(pinned), "--with") if pinned else {}
    async with connect() as client:
        with working("pushing the draft"):
            pushed, _ = await push_draft(client, found)
        with working(f"running {step}"):
            response = await client.test(pushed.release.name, ACTION, given, settings=settings, step=step, steps=steps)
    output = output_of(response)
    told = {"release": pushed.release.name, "step": step, "output": output, "run": response.run}
    return Answer(told, Group(done(f"{step} gave"), Text(json.dumps(output, ensure_ascii=False, indent=2))))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} is not text in UTF-8") from None


def _table(results: "list[Tried]") -> RenderableType:
    walked = any(one.how == "walked" for one in results)
    rows = [
        (
            Text("✓", "green") if one.ok else Text("✗", "red"),
            Text(one.name, "bold"),
            Text(one.about[:100]),
            Text(one.how, "dim") if not walked else Text(_went(one)),
            Text(f"{one.seconds * 1000:.0f} ms", "dim"),
        )
        for one in results
    ]
    return table(["", "example", "input", "steps" if walked else "how", "time"], rows, "")


def _went(tried: "Tried") -> str:
    """The steps that were done or tried, in their order; of those that go through items, how many."""
    went = [(_ITEM.sub("", one.place), one.state) for one in tried.steps if one.state != "skipped"]
    shown = []
    for place, ended in groupby(went, lambda one: one[0]):
        states = [state for _, state in ended]
        shown.append(place + (f" ×{len(states)}" if len(states) > 1 else "") + (" ✗" if "failed" in states else ""))
    return ", ".join(shown)


def _logged(one: "Tried") -> RenderableType:
    """What the code of an example logged."""
    from hardpoint_cli.screen import log_line

    return Group(Text.assemble(("› ", "cyan"), (one.name, "bold"), " logged"), *map(log_line, one.logs))


def _failure(one: "Tried") -> RenderableType:
    """What was otherwise, the first difference first."""
    import json

    lines = [Text.assemble(("✗ ", "red"), (one.name, "bold"))]
    lines += [Text(f"    {difference}") for difference in one.differences]
    if one.differences and one.error is None and one.output is not None:
        lines.append(Text(f"    it gave {json.dumps(one.output, ensure_ascii=False)}", "dim"))
    said = "".join(one.differences)
    failed = [step for step in one.steps if step.state == "failed" and step.message not in said]
    lines += [Text(f"    {step.place} failed: {step.reason}, {step.message}", "dim") for step in failed]
    if error := one.error:
        lines.append(Text.assemble(f"    {error['message']}", (f"  [{error['reason']}]", "dim")))
        lines += [Text(f"    {label}: {error[label]}") for label in ("place", "fix") if error[label]]
    return Group(*lines)


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
