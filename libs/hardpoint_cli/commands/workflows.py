"""Runs of workflows: `start`, `watch`, `approve`, `resume`, `cancel`, `fork`, `send`."""

import uuid
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from hardpoint_cli import completion, screen
from hardpoint_cli.inputs import any_value, whole
from hardpoint_cli.panels import WATCH
from hardpoint_cli.shell import Answer, command

if TYPE_CHECKING:
    from hardpoint.runtime.v1 import run_pb2
    from hardpoint_client import Hardpoint

RunId = Annotated[str, typer.Argument(help="The run's id, from `hardpoint runs`.", show_default=False)]
PLAN_SECONDS = 60.0
DRY_RUN_SECONDS = 300.0
"""Of a whole workflow."""
StepId = Annotated[str, typer.Argument(help="The step, by its number or place; the one that waits when left out.")]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    starts = [f"""hardpoint start helper orders.run '{{"order": 7}}'{rest}""" for rest in ("", " --dry-run")]
    command(app, "start", panel=WATCH, examples=starts)(start)
    command(app, "watch", panel=WATCH, examples=["hardpoint watch 0190f3c2-5b1e7cc1a1b2"])(watch)
    approvals = [f"hardpoint approve RUN{rest}" for rest in ("", " --refuse", " --dry-run", " --plan sha256:...")]
    command(app, "approve", panel=WATCH, examples=approvals)(approve)
    command(app, "resume", panel=WATCH, examples=["hardpoint resume RUN repeat", "hardpoint resume RUN skip"])(resume)
    command(app, "send", panel=WATCH, examples=["""hardpoint send RUN paid '{"by": "card"}'"""])(send)
    command(app, "cancel", panel=WATCH, examples=["hardpoint cancel RUN"])(cancel)
    command(app, "fork", panel=WATCH, examples=["hardpoint fork RUN mail"])(fork)


async def start(
    agent: Annotated[str, typer.Argument(autocompletion=completion.agents, show_default=False)],
    action: Annotated[str, typer.Argument(help="The workflow, as capability.run.", show_default=False)],
    input: Annotated[str, typer.Argument(help="Its input, as JSON.")] = "{}",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Begin nothing: show what each step would do, and write.")
    ] = False,
) -> Answer:
    """Begin a run of a workflow that is attached to an agent, and answer at once.

    With `--dry-run` its steps are gone through without writing anything; what they read, they read for real.
    """
    from hardpoint.runtime.v1 import run_pb2
    from hardpoint_cli.documents import document
    from hardpoint_cli.effects import plan_shown
    from hardpoint_cli.session import connect
    from hardpoint_kit.documents import to_struct

    async with connect() as client:
        if dry_run:
            made = await client.call(agent, action, whole(input, "input"), dry_run=True, seconds=DRY_RUN_SECONDS)
            return Answer(document(made), plan_shown(made.plan))
        request = run_pb2.StartRunRequest(
            agent=client.named("agents", agent),
            action=action,
            input=to_struct(whole(input, "input")),
            request_id=uuid.uuid4().hex,
        )
        return _told(client, await client.runs.StartRun(request))


async def watch(run: RunId) -> Answer:
    """Follow a run until it has ended, step by step; it can be interrupted and begun again.

    A server that is lost on the way is asked again for two minutes, and the run followed from where it was.
    """
    from hardpoint.runtime.v1 import run_pb2
    from hardpoint_cli import names
    from hardpoint_cli.documents import word
    from hardpoint_cli.following import followed
    from hardpoint_cli.session import connect

    async with connect() as client:
        name = names.run(run, client.org)
        last = run_pb2.Run(name=name)
        async for changed, steps in followed(client, name):
            last = changed
            for step in steps:
                screen.show(Text(f"  {word(step, 'state'):<10} {step.path}{_why(step)}"), stderr=True)
        answer = _told(client, last)
        return Answer(answer.document, answer.shown, last.state != run_pb2.RUN_STATE_FAILED)


async def approve(
    run: RunId,
    step: StepId = "",
    refuse: Annotated[bool, typer.Option("--refuse", help="Say no.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Approve nothing yet: show the plan of what would then be written.")
    ] = False,
    plan: Annotated[
        str, typer.Option(metavar="DIGEST", help="Approve that plan: it is written and nothing else.")
    ] = "",
) -> Answer:
    """Approve what a step of a run shows, exactly as it is shown now, or refuse it.

    With `--dry-run` the step that would go on is run without writing anything; what it reads, it reads for real.
    """
    from hardpoint.runtime.v1 import run_pb2
    from hardpoint_cli import names
    from hardpoint_cli.documents import document
    from hardpoint_cli.effects import plan_shown
    from hardpoint_cli.session import connect
    from hardpoint_kit.documents import from_value

    async with connect() as client:
        waiting = await _waiting(client, names.run(run, client.org), step, run_pb2.WAITS_APPROVAL)
        if waiting.HasField("shown"):
            screen.show(Text(f"{waiting.path}: {from_value(waiting.shown)}"), stderr=True)
        if dry_run:
            asked = run_pb2.PlanStepRequest(step=waiting.name, digest=waiting.digest)
            made = await client.runs.PlanStep(asked, timeout=PLAN_SECONDS)
            return Answer(document(made), plan_shown(made.plan))
        request = run_pb2.ApproveStepRequest(
            step=waiting.name, digest=waiting.digest, refuse=refuse, request_id=uuid.uuid4().hex, plan=plan
        )
        return _told(client, await client.runs.ApproveStep(request))


async def resume(
    run: RunId,
    decision: Annotated[Literal["repeat", "skip", "fail"], typer.Argument(show_default=False)],
    step: StepId = "",
    output: Annotated[str, typer.Option(help="What a skipped step gives, as JSON.")] = "null",
) -> Answer:
    """Decide about a step that may have happened: do it again, go on as if it had, or let the run fail."""
    from hardpoint.runtime.v1 import run_pb2
    from hardpoint_cli import names
    from hardpoint_cli.session import connect
    from hardpoint_kit.documents import to_value

    async with connect() as client:
        waiting = await _waiting(client, names.run(run, client.org), step, run_pb2.WAITS_DOUBT)
        request = run_pb2.ResumeRunRequest(
            step=waiting.name,
            decision=f"RESUME_{decision.upper()}",
            output=to_value(any_value(output, "--output")),
            request_id=uuid.uuid4().hex,
        )
        return _told(client, await client.runs.ResumeRun(request))


async def send(
    run: RunId,
    event: Annotated[str, typer.Argument(help="The event that a step waits for.", show_default=False)],
    payload: Annotated[str, typer.Argument(help="What it carries, as JSON.")] = "null",
) -> Answer:
    """Give a run the event that one of its steps waits for."""
    from hardpoint.runtime.v1 import run_pb2
    from hardpoint_cli import names
    from hardpoint_cli.session import connect
    from hardpoint_kit.documents import to_value

    async with connect() as client:
        request = run_pb2.SendEventRequest(
            run=names.run(run, client.org),
            event=event,
            payload=to_value(any_value(payload, "payload")),
            request_id=uuid.uuid4().hex,
        )
        return _told(client, await client.runs.SendEvent(request))


async def cancel(run: RunId) -> Answer:
    """End a run at once; what it did stays done."""
    from hardpoint.runtime.v1 import run_pb2
    from hardpoint_cli import names
    from hardpoint_cli.session import connect

    async with connect() as client:
        request = run_pb2.CancelRunRequest(name=names.run(run, client.org), request_id=uuid.uuid4().hex)
        return _told(client, await client.runs.CancelRun(request))


async def fork(
    run: RunId, step: Annotated[str, typer.Argument(help="The step's id in the workflow.", show_default=False)]
) -> Answer:
    """Begin another run like this one at a step: that one and what comes after it is done anew."""
    from hardpoint.runtime.v1 import run_pb2
    from hardpoint_cli import names
    from hardpoint_cli.session import connect

    async with connect() as client:
        name = names.run(run, client.org)
        request = run_pb2.ForkRunRequest(name=name, step=step, request_id=uuid.uuid4().hex)
        return _told(client, await client.runs.ForkRun(request))


async def _waiting(client: "Hardpoint", run: str, step: str, waits: "run_pb2.Waits") -> "run_pb2.Step":
    """The step that is meant; raises NotFound when none, or several, wait for that."""
    from hardpoint.runtime.v1 import run_pb2
    from hardpoint_kit.errors import NotFound

    steps = (await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=run))).steps
    found = [
        one
        for one in steps
        if one.waits == waits and not one.decided_by and step in ("", one.path, one.name.rpartition("/")[2])
    ]
    if len(found) != 1:
        which = ", ".join(one.path for one in found) or "none does"
        raise NotFound("step", step or run, message=f"not one step waits for this: {which}", fix=f"hardpoint run {run}")
    return found[0]


def _told(client: "Hardpoint", run: "run_pb2.Run") -> Answer:
    from hardpoint_cli import names
    from hardpoint_cli.documents import document, word

    id = names.short(run.name, client.org)
    return Answer({"run": document(run)}, Text(f"{id} {word(run, 'state')}{_why(run)}"))


def _why(one: "run_pb2.Run | run_pb2.Step") -> str:
    return f": {one.reason} {one.message}".rstrip() if one.reason else ""
