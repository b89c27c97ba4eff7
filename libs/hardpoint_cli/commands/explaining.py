"""Why a run did not succeed: `explain`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from hardpoint_cli.panels import WATCH
from hardpoint_cli.screen import done, fields, next_steps
from hardpoint_cli.shell import Answer, command

if TYPE_CHECKING:
    from hardpoint.registry.v1 import registry_pb2
    from hardpoint.runtime.v1 import run_pb2
    from hardpoint_cli.explanation import Explanation
    from hardpoint_client import Hardpoint

_GRANTABLE = ("HOST_NOT_GRANTED", "PERMISSION_NOT_GRANTED", "REDIRECT_REFUSED")


def add(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "explain", panel=WATCH, examples=["hardpoint explain", "hardpoint explain 0190f3c25b1e-7cc1a1b23c4d"])(
        explain
    )


async def explain(
    run: Annotated[str, typer.Argument(help="The run's id, from `hardpoint runs`; else the last that failed.")] = "",
) -> Answer:
    """Say why a run did not succeed: what was refused or went wrong, by name, where, what to do, and the patch.

    The place in the capability's file is looked up where you may read the release.
    """
    from hardpoint.runtime.v1 import run_pb2
    from hardpoint_cli import explanation, names
    from hardpoint_cli.documents import document
    from hardpoint_cli.session import connect

    async with connect() as client:
        if run:
            found = await client.runs.GetRun(run_pb2.GetRunRequest(name=names.run(run, client.org)))
        else:
            found = await _last_failed(client)
        about: dict[str, Any] = {"run": document(found)}
        if found.state == run_pb2.RUN_STATE_SUCCEEDED:
            return Answer({**about, "succeeded": True, "explanation": None}, _well(found))
        release = await _release(client, found.release)
        filename = release.artifact.filename if release else ""
        reason = found.reason or ("CANCELLED" if found.state == run_pb2.RUN_STATE_CANCELLED else "INTERNAL")
        asked = release.manifest.authority.permissions if release else ()
        why = explanation.explain(reason, found.message, found.fix, found.facts, asked, filename)
        line = await _line(client, release, found, why) if release else ""
        steps = await _granting(client, found)
        told = {
            "reason": reason,
            "kind": why.kind,
            "named": dict(why.named),
            "place": found.place,
            "manifest_place": line,
            "manifest_path": why.path,
            "caller": why.caller,
            "author": why.author,
            "patch": list(why.patch),
            "lines": explanation.lines_of(why.patch, filename),
            "next": steps,
        }
        shown = Group(_shown(found, reason, why, line, filename), next_steps(*steps))
        return Answer({**about, "succeeded": False, "explanation": told}, shown)


def _well(run: "run_pb2.Run") -> RenderableType:
    from hardpoint_cli.commands.runs import usage_text
    from hardpoint_cli.documents import duration

    used = usage_text(run.usage)
    return done(f"{run.action} succeeded in {duration(run.duration_ms)}{f', using {used}' if used else ''}")


def _shown(run: "run_pb2.Run", reason: str, why: "Explanation", line: str, filename: str) -> RenderableType:
    import json

    from hardpoint_cli.explanation import lines_of

    head = Text.assemble((run.action, "bold"), f": {why.kind}", (f"  [{reason}]", "dim"))
    decides = f"{line} ({why.path})" if line and why.path else line or why.path
    patch = [f"{one['op']} {one['path']} {json.dumps(one['value'], ensure_ascii=False)}" for one in why.patch]
    about: dict[str, RenderableType] = {
        "message": run.message,
        **why.named,
        "at": run.place,
        "decided by": decides,
        "caller": why.caller,
        "author": why.author,
        "patch": Text("\n".join(patch)),
        "or write": Text("\n".join(lines_of(why.patch, filename))),
    }
    return Group(head, fields({label: value for label, value in about.items() if str(value)}))


async def _last_failed(client: "Hardpoint") -> "run_pb2.Run":
    from hardpoint.runtime.v1 import run_pb2
    from hardpoint_kit.errors import NotFound

    request = run_pb2.ListRunsRequest(parent=client.org, state=run_pb2.RUN_STATE_FAILED, page_size=1)
    runs = (await client.runs.ListRuns(request)).runs
    if not runs:
        raise NotFound("run", client.org, message="no run of your org has failed")
    return runs[0]


async def _release(client: "Hardpoint", name: str) -> "registry_pb2.Release | None":
    """The release that ran; none when the caller may not see it, or it is gone."""
    from hardpoint.registry.v1 import registry_pb2
    from hardpoint_kit.errors import NotFound, PermissionDenied

    try:
        return await client.registry.GetRelease(registry_pb2.GetReleaseRequest(name=name))
    except (NotFound, PermissionDenied):
        return None


async def _granting(client: "Hardpoint", run: "run_pb2.Run") -> list[str]:
    """The command that grants what the release asks for and the run was refused; none where that would not help."""
    from hardpoint.runtime.v1 import agent_pb2, installation_pb2
    from hardpoint_cli.names import option, prefix, short
    from hardpoint_cli.session import collect
    from hardpoint_kit.errors import NotFound

    wanted = run.facts.get("permission") or run.facts.get("host")
    if run.reason not in _GRANTABLE or not wanted or not run.agent or run.facts.get("patch"):
        return []
    commands = []
    try:
        request = agent_pb2.ListAttachmentsRequest(parent=run.agent)
        for one in await collect(client.agents.ListAttachments, request, "attachments"):
            asked = installation_pb2.GetInstallationRequest(name=one.installation)
            if one.release != run.release:
                continue
            found = await client.installations.GetInstallation(asked)
            if prefix(found) == run.action.partition(".")[0]:
                grants = found.grants
                given = "".join(f" --grant {grant}" for grant in [*grants.permissions, *grants.hosts, wanted])
                release = short(one.release, client.org)
                commands.append(f"hardpoint install {release} {option(found)}{given}")
    except NotFound:
        return []
    return commands


async def _line(client: "Hardpoint", release: "registry_pb2.Release", run: "run_pb2.Run", why: "Explanation") -> str:
    """`file:line:column` of the part of the release's document that decides; empty when there is none to be read."""
    from hardpoint_cli.origin import line_of, source_of
    from hardpoint_kit.errors import NotFound, PermissionDenied

    if not (why.path or run.place):
        return ""
    try:
        source = await source_of(client, release)
    except (NotFound, PermissionDenied):
        return ""
    action = run.action.rpartition(".")[2]
    return line_of(source, release, why.path, action, run.place)
