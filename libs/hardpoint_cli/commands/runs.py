"""What happened: `runs`, `run`, `logs`, `events`."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from hardpoint_cli import completion
from hardpoint_cli.panels import WATCH
from hardpoint_cli.screen import fields, log_line, table
from hardpoint_cli.shell import Answer, command

if TYPE_CHECKING:
    from hardpoint.manifest.v1 import manifest_pb2
    from hardpoint.runtime.v1 import run_pb2

Limit = Annotated[int, typer.Option(min=1, help="How many at most, the newest first.")]
_STYLES = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "waiting": "magenta", "running": "cyan"}


def add(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "runs", panel=WATCH, examples=["hardpoint runs --agent helper --failed"])(runs)
    command(app, "run", panel=WATCH, examples=["hardpoint run 0190f3c2-5b1e-7cc1-a1b2-3c4d5e6f7a8b"])(run)
    command(app, "logs", panel=WATCH, examples=["hardpoint logs 0190f3c2-5b1e-7cc1-a1b2-3c4d5e6f7a8b"])(logs)
    command(app, "events", panel=WATCH, examples=["hardpoint events registry", "hardpoint events runtime --limit 5"])(
        events
    )


async def runs(
    agent: Annotated[str, typer.Option(help="Only this agent's.", autocompletion=completion.agents)] = "",
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed.")] = False,
    limit: Limit = 20,
) -> Answer:
    """List what ran, the newest first."""
    from hardpoint.runtime.v1 import run_pb2
    from hardpoint_cli.documents import document, duration, moment
    from hardpoint_cli.names import short
    from hardpoint_cli.session import collect, connect

    async with connect() as client:
        request = run_pb2.ListRunsRequest(
            parent=client.org,
            agent=client.named("agents", agent) if agent else "",
            state=run_pb2.RUN_STATE_FAILED if failed else run_pb2.RUN_STATE_UNSPECIFIED,
        )
        found = await collect(client.runs.ListRuns, request, "runs", limit)
        rows = [
            (
                short(one.name, client.org),
                moment(one.start_time),
                Text.assemble(_state(one), " (dry run)" if one.dry_run else " (recorded)" if one.recorded else ""),
                one.action,
                short(one.agent, client.org) or "test",
                duration(one.duration_ms),
                one.reason,
            )
            for one in found
        ]
        shown = table(["run", "started", "state", "action", "agent", "took", "reason"], rows, "Nothing ran.")
        return Answer({"runs": [document(one) for one in found]}, shown)


async def run(
    run: Annotated[str, typer.Argument(help="The run's id, from `hardpoint runs`.", show_default=False)],
) -> Answer:
    """Show one run: its steps, what it used, and why it failed."""
    from hardpoint.runtime.v1 import run_pb2
    from hardpoint_cli import names
    from hardpoint_cli.documents import document, duration, moment
    from hardpoint_cli.session import connect

    async with connect() as client:
        name = names.run(run, client.org)
        found = await client.runs.GetRun(run_pb2.GetRunRequest(name=name))
        steps = (await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=name))).steps
        about: dict[str, RenderableType] = {
            "run": names.short(found.name, client.org),
            "state": _state(found),
            "action": found.action,
            "release": names.short(found.release, client.org),
            "agent": names.short(found.agent, client.org) or "none: a test",
            "called by": found.subject,
            "started": moment(found.start_time),
            "took": duration(found.duration_ms),
            "used": usage_text(found.usage),
            "trace": found.trace_id,
            "dry run of" if found.dry_run else "held to": found.plan,
            "recorded": "its cassette was given to who called" if found.recorded else "",
            "reason": Text(found.reason, "red") if found.reason else "",
            "message": found.message,
            "at": found.place,
            "fix": found.fix,
            "not reverted": found.facts.get("not_reverted", ""),
        }
        rows = [
            (
                names.short(one.name, client.org) + (f" {one.path}" if one.path else ""),
                _state(one),
                one.action + (f", run {names.short(one.child, client.org)}" if one.child else ""),
                duration(one.duration_ms),
                one.reason or one.message,
            )
            for one in steps
        ]
        shown: list[RenderableType] = [fields(about)]
        if len(rows) > 1:
            shown += [Text(), table(["step", "state", "action", "took", "why"], rows, "")]
        return Answer({"run": document(found), "steps": [document(one) for one in steps]}, Group(*shown))


async def logs(
    run: Annotated[str, typer.Argument(help="The run's id, from `hardpoint runs`.", show_default=False)],
) -> Answer:
    """Show what the code of one run logged: the first lines, for some days. For builders and operators."""
    from hardpoint.runtime.v1 import run_pb2
    from hardpoint_cli import names
    from hardpoint_cli.documents import document
    from hardpoint_cli.session import connect

    async with connect() as client:
        found = await client.runs.GetRunLogs(run_pb2.GetRunLogsRequest(name=names.run(run, client.org)))
        shown = Group(*map(log_line, found.lines)) if found.lines else Text("It logged nothing.", "dim")
        return Answer({"lines": [document(one) for one in found.lines]}, shown)


async def events(
    unit: Annotated[
        Literal["config", "registry", "marketplace", "files", "runtime"], typer.Argument(show_default=False)
    ],
    resource: Annotated[str, typer.Option(metavar="NAME", help="Only those of this resource, by its full name.")] = "",
    limit: Limit = 20,
) -> Answer:
    """List what was done in a unit and by whom: its audit log. For admins."""
    from hardpoint.audit.v1 import audit_pb2
    from hardpoint_cli.documents import document, moment
    from hardpoint_cli.names import short
    from hardpoint_cli.session import connect

    async with connect() as client:
        found: list[audit_pb2.Event] = []
        token = ""
        while len(found) < limit:
            page = await client.events(unit, resource=resource, page_token=token)
            found.extend(page.events)
            token = page.next_page_token
            if not token:
                break
        found = found[:limit]
        rows = [
            (
                moment(one.create_time),
                one.subject + (f" via {one.via}" if one.via else ""),
                one.action,
                short(one.resource, client.org),
                " ".join(f"{key}={_cut(value)}" for key, value in sorted(one.facts.items())),
            )
            for one in found
        ]
        shown = table(["when", "who", "what", "on", "facts"], rows, "Nothing happened.")
        return Answer({"unit": unit, "events": [document(one) for one in found]}, shown)


def _cut(fact: str) -> str:
    """A fact without the tail of a digest."""
    return f"{fact[:19]}…" if fact.startswith("sha256:") else fact


def _state(record: "run_pb2.Run | run_pb2.Step") -> Text:
    from hardpoint_cli.documents import word

    state = word(record, "state")
    return Text(state, _STYLES.get(state, ""))


def usage_text(usage: "manifest_pb2.Usage") -> str:
    """What an execution used, in words; empty when nothing was measured."""
    from hardpoint_cli.documents import duration, size

    parts = [
        f"{duration(usage.cpu_ms)} CPU" if usage.cpu_ms else "",
        f"{size(usage.peak_memory_bytes)} memory" if usage.peak_memory_bytes else "",
        f"{usage.broker_calls} requests" if usage.broker_calls else "",
        f"{size(usage.bytes_out)} out, {size(usage.bytes_in)} in" if usage.bytes_out or usage.bytes_in else "",
        f"{usage.input_tokens + usage.output_tokens} tokens" if usage.input_tokens or usage.output_tokens else "",
    ]
    return ", ".join(filter(None, parts))
