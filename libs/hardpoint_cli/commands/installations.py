"""Capabilities made usable in the org: `install`, `installed`, `grants`, `disable`, `enable`, `uninstall`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from hardpoint_cli import completion
from hardpoint_cli.arguments import Installation
from hardpoint_cli.panels import FIND
from hardpoint_cli.prompts import confirmed, on_terminal
from hardpoint_cli.screen import done, next_steps, show, table, warn, working
from hardpoint_cli.shell import Answer, command

if TYPE_CHECKING:
    from hardpoint.manifest.v1 import manifest_pb2
    from hardpoint.registry.v1 import registry_pb2
    from hardpoint.runtime.v1 import installation_pb2
    from hardpoint_client import Hardpoint


def add(app: typer.Typer) -> None:
    """Add the commands."""
    command(
        app,
        "install",
        panel=FIND,
        examples=[
            "hardpoint install acme/weather-lookup",
            "hardpoint install weather-lookup@^1.2 --grant-all",
            "hardpoint install hardpoint/database --as reporting --grant data.read --grant compute.moderate",
            "hardpoint install cleaner --grant compute.light --dry-run",
        ],
    )(install)
    command(app, "installed", panel=FIND, examples=["hardpoint installed"])(installed)
    command(app, "grants", panel=FIND, examples=["hardpoint grants weather-lookup"])(grants)
    command(app, "disable", panel=FIND, examples=["hardpoint disable weather-lookup"])(disable)
    command(app, "enable", panel=FIND, examples=["hardpoint enable weather-lookup"])(enable)
    command(app, "uninstall", panel=FIND, examples=["hardpoint uninstall weather-lookup"])(uninstall)


async def install(
    capability: Annotated[
        str,
        typer.Argument(
            help="weather-lookup or acme/weather-lookup; with @1.2.0, @^1.2 or '@>=2,<3' for less than the latest.",
            autocompletion=completion.capabilities,
            show_default=False,
        ),
    ],
    as_: Annotated[
        str, typer.Option("--as", metavar="NAME", help="A name of its own: its actions are called NAME.query, ...")
    ] = "",
    id_: Annotated[
        str,
        typer.Option(
            "--id", metavar="ID", help="Another id, and no name of its own: its actions are called as the capability's."
        ),
    ] = "",
    grant: Annotated[
        list[str] | None, typer.Option(metavar="PERMISSION|HOST", help="Allow this, and nothing else. Repeatable.")
    ] = None,
    grant_all: Annotated[bool, typer.Option("--grant-all", help="Allow all that it asks for.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would happen, and install nothing.")] = False,
) -> Answer:
    """Make a capability usable in your org: see what it asks for, and decide.

    Nothing is granted by itself: on a terminal you are asked, elsewhere say --grant or --grant-all. Installing again
    changes the version and the grants of what is installed. An agent can use a capability several times, such as two
    databases, where each installation has a name of its own; without, it calls the one with the higher priority.
    """
    from hardpoint.registry.v1 import registry_pb2
    from hardpoint_cli import names
    from hardpoint_cli.consent import chosen
    from hardpoint_cli.session import connect

    if as_ and id_:
        raise typer.BadParameter("it has a name of its own, or another id without one", param_hint="--as")
    async with connect() as client:
        name, constraint = names.capability_and_version(capability, client.org)
        resolve = registry_pb2.ResolveReleaseRequest(capability=str(name), constraint=constraint)
        release = await client.registry.ResolveRelease(resolve)
        asked = release.manifest.authority
        if dry_run or grant or grant_all or not (asked.permissions or asked.hosts):
            grants = chosen(asked, grant or [], grant_all)
        else:
            grants = _consented(client, release)
        own_name = as_ not in ("", name.capability)
        wanted = _Wanted(str(name), constraint, as_ or id_ or name.capability, own_name, grants)
        if dry_run:
            return await _tried(client, wanted, release)
        with working("installing"):
            made, words = await _installed(client, wanted)
        return _answer(client, made, words, release)


async def installed() -> Answer:
    """List what is installed in your org."""
    from hardpoint.runtime.v1 import installation_pb2
    from hardpoint_cli.documents import document, moment, word
    from hardpoint_cli.names import prefix, short
    from hardpoint_cli.session import collect, connect

    async with connect() as client:
        request = installation_pb2.ListInstallationsRequest(parent=client.org)
        found = await collect(client.installations.ListInstallations, request, "installations")
        rows = [
            (
                short(one.name, client.org),
                f"{prefix(one)}.*",
                short(one.release, client.org),
                word(one, "state"),
                ", ".join([*one.grants.permissions, *one.grants.hosts]) or "nothing",
                str(one.counters.execution_count),
                moment(one.counters.last_used) or "never",
                ", ".join(_unused(one)),
            )
            for one in found
        ]
        head = ["installation", "actions", "release", "state", "granted", "calls", "last used"]
        shown = table([*head, "granted and never used"], rows, "Nothing is installed. Find something: hardpoint search")
        return Answer({"installations": [document(one) for one in found]}, shown)


async def grants(installation: Installation) -> Answer:
    """Show what an installation is granted, and what of it agents really used: what was never used can be taken back.

    Uses are counted for executions that agents ask for, failed ones too, and not for tests.
    """
    from hardpoint.runtime.v1 import installation_pb2
    from hardpoint_cli.documents import document, moment
    from hardpoint_cli.names import option, short
    from hardpoint_cli.session import connect

    async with connect() as client:
        name = client.named("installations", installation)
        found = await client.installations.GetInstallation(installation_pb2.GetInstallationRequest(name=name))
        since = moment(found.grant_time)
        rows = [
            (use.grant, str(use.execution_count), moment(use.last_used) or Text(f"never, since {since}", "yellow"))
            for use in found.grant_uses
        ]
        parts: list[RenderableType] = [table(["granted", "executions", "last used"], rows, "Nothing is granted.")]
        unused = _unused(found)
        steps = []
        if kept := [use.grant for use in found.grant_uses if use.grant not in unused] if unused else []:
            given = "".join(f" --grant {grant}" for grant in kept)
            steps = [f"hardpoint install {short(found.release, client.org)} {option(found)}{given}"]
            parts.append(Text("To take back what was never used; what was not called since then may need it:"))
            parts.append(next_steps(*steps))
        return Answer({"installation": document(found), "unused": unused, "next": steps}, Group(*parts))


async def disable(installation: Installation) -> Answer:
    """Have no agent call an installation until it is enabled again. What runs ends as it would."""
    return await _switched(installation, on=False)


async def enable(installation: Installation) -> Answer:
    """Let agents call an installation again."""
    return await _switched(installation, on=True)


async def _switched(installation: str, on: bool) -> Answer:
    from hardpoint.runtime.v1.installation_pb2 import DisableInstallationRequest, EnableInstallationRequest
    from hardpoint_cli.documents import document
    from hardpoint_cli.names import short
    from hardpoint_cli.session import connect
    from hardpoint_client.client import new_request_id

    async with connect() as client:
        asked = {"name": client.named("installations", installation), "request_id": new_request_id()}
        if on:
            changed = await client.installations.EnableInstallation(EnableInstallationRequest(**asked))
        else:
            changed = await client.installations.DisableInstallation(DisableInstallationRequest(**asked))
        who = "agents can call {} again" if on else "no agent can call {} for now"
        return Answer({"installation": document(changed)}, done(who.format(short(changed.name, client.org))))


async def uninstall(installation: Installation) -> Answer:
    """Remove an installation. It must not be attached to an agent; its settings go with it, secrets stay."""
    from hardpoint.runtime.v1 import installation_pb2
    from hardpoint_cli.names import short
    from hardpoint_cli.session import connect
    from hardpoint_client.client import new_request_id

    async with connect() as client:
        name = client.named("installations", installation)
        request = installation_pb2.DeleteInstallationRequest(name=name, request_id=new_request_id())
        await client.installations.DeleteInstallation(request)
        return Answer({"installation": name}, done(f"{short(name, client.org)} is uninstalled"))


def _unused(installation: "installation_pb2.Installation") -> list[str]:
    """What is granted and was never used; nothing while there were no calls that could have used it."""
    if not installation.counters.execution_count:
        return []
    return [use.grant for use in installation.grant_uses if not use.execution_count]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the user decided on."""

    capability: str
    constraint: str
    id: str
    own_name: bool
    grants: "manifest_pb2.Authority"


def _consented(client: "Hardpoint", release: "registry_pb2.Release") -> "manifest_pb2.Authority":
    """All that the release asks for, if the person at the terminal says yes."""
    from hardpoint_cli.consent import asked_table
    from hardpoint_kit.errors import Cancelled

    show(Group(_title(client, release), asked_table(release.manifest), Text()), stderr=True)
    if not on_terminal():
        raise typer.BadParameter(
            "say what it may do: --grant-all, or --grant for each permission and host", param_hint="--grant"
        )
    if not confirmed("Grant all of this, and install it?"):
        raise Cancelled("nothing was installed", fix="to allow less, name it with --grant")
    return release.manifest.authority


async def _installed(client: "Hardpoint", wanted: _Wanted) -> tuple["installation_pb2.Installation", str]:
    """The installation, made or changed to what is wanted, and in which words to say so."""
    from hardpoint_kit.errors import AlreadyExists

    try:
        made = await client.install(
            wanted.capability,
            constraint=wanted.constraint,
            installation_id=wanted.id,
            own_name=wanted.own_name,
            grants=wanted.grants,
        )
        return made, "{release} is installed, as {id}" + _called(wanted)
    except AlreadyExists as error:
        current = await _current(client, wanted)
        if current.capability != wanted.capability:
            raise AlreadyExists(
                f"{wanted.id} is an installation of another capability, {current.capability}",
                fix="give this one another name with --as",
                resource=current.name,
            ) from error
        _check_called(current, wanted)
        return await _changed(client, current, wanted), "{id} is {release} now, with the grants you gave"


def _called(wanted: _Wanted) -> str:
    return f": its actions are called {wanted.id}.*" if wanted.own_name else ""


def _check_called(current: "installation_pb2.Installation", wanted: _Wanted) -> None:
    """Raise AlreadyExists where it would be called otherwise: what agents and steps call stays what it is."""
    from hardpoint_cli.names import option, prefix
    from hardpoint_kit.errors import AlreadyExists

    if current.own_name != wanted.own_name:
        raise AlreadyExists(
            f"{wanted.id} is installed already, and its actions are called {prefix(current)}.*",
            fix=f"to change version or grants, say {option(current)}; to have it called otherwise, uninstall it first",
            resource=current.name,
        )


async def _changed(
    client: "Hardpoint", current: "installation_pb2.Installation", wanted: _Wanted
) -> "installation_pb2.Installation":
    from google.protobuf.field_mask_pb2 import FieldMask

    from hardpoint.runtime.v1 import installation_pb2
    from hardpoint_client.client import new_request_id

    changed = installation_pb2.Installation(
        name=current.name, constraint=wanted.constraint, grants=wanted.grants, etag=current.etag
    )
    return await client.installations.UpdateInstallation(
        installation_pb2.UpdateInstallationRequest(
            installation=changed, update_mask=FieldMask(paths=["constraint", "grants"]), request_id=new_request_id()
        )
    )


async def _current(client: "Hardpoint", wanted: _Wanted) -> "installation_pb2.Installation":
    from hardpoint.runtime.v1 import installation_pb2

    request = installation_pb2.GetInstallationRequest(name=client.named("installations", wanted.id))
    return await client.installations.GetInstallation(request)


async def _tried(client: "Hardpoint", wanted: _Wanted, release: "registry_pb2.Release") -> Answer:
    from hardpoint_cli.consent import asked_table
    from hardpoint_cli.documents import document
    from hardpoint_cli.names import short
    from hardpoint_kit.errors import AlreadyExists

    try:
        found = await client.install(
            wanted.capability,
            constraint=wanted.constraint,
            installation_id=wanted.id,
            own_name=wanted.own_name,
            grants=wanted.grants,
            validate_only=True,
        )
        words = f"{short(release.name, client.org)} would be installed as {wanted.id}{_called(wanted)}"
    except AlreadyExists:
        found = await _current(client, wanted)
        words = f"{wanted.id} is installed, at {short(found.release, client.org)}"
    shown = Group(
        _title(client, release), asked_table(release.manifest, wanted.grants), Text(), f"{words}. Nothing was done."
    )
    return Answer(
        {"dry_run": True, "installation": document(found), "asked": document(release.manifest.authority)}, shown
    )


def _answer(
    client: "Hardpoint", made: "installation_pb2.Installation", words: str, release: "registry_pb2.Release"
) -> Answer:
    from hardpoint_cli.consent import setting_commands
    from hardpoint_cli.documents import document
    from hardpoint_cli.names import short

    id = short(made.name, client.org)
    if refused := [*made.ungranted.permissions, *made.ungranted.hosts]:
        warn(f"not granted: {', '.join(refused)}; what needs it will be refused")
    steps = setting_commands(id, made.missing_settings, release.manifest)
    parts: list[RenderableType] = [done(words.format(release=short(made.release, client.org), id=id))]
    if steps:
        parts.append("It needs:")
    parts.append(next_steps(*steps, f"hardpoint attach AGENT {id}"))
    return Answer({"installation": document(made), "next": steps}, Group(*parts))


def _title(client: "Hardpoint", release: "registry_pb2.Release") -> Text:
    from hardpoint_cli.names import short

    about = f"  {release.manifest.description}" if release.manifest.description else ""
    return Text.assemble((short(release.name, client.org), "bold"), about, "\n")
