"""Releases: `push`, `publish`, `yank`, `deprecate`."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Group, RenderableType

from hardpoint_cli import completion
from hardpoint_cli.arguments import Capability, File
from hardpoint_cli.panels import WRITE
from hardpoint_cli.screen import done, next_steps, note, working
from hardpoint_cli.shell import Answer, command

if TYPE_CHECKING:
    from hardpoint.registry.v1 import registry_pb2
    from hardpoint_client import Hardpoint
    from hardpoint_kit.names import ReleaseName

Visibility = Literal["private", "organization", "public"]
Note = Annotated[str, typer.Option(help="Why, and what to use instead.")]
Release = Annotated[str, typer.Argument(help="weather-lookup@1.0.0", show_default=False)]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    command(
        app,
        "push",
        panel=WRITE,
        examples=["hardpoint push weather.yaml", "hardpoint push weather.yaml --visibility public --publish"],
    )(push)
    command(
        app,
        "publish",
        panel=WRITE,
        examples=["hardpoint publish weather-lookup", "hardpoint publish weather-lookup@1.0.0"],
    )(publish)
    command(app, "yank", panel=WRITE, examples=['hardpoint yank weather-lookup@1.0.0 --note "wrong unit"'])(yank)
    command(app, "deprecate", panel=WRITE, examples=['hardpoint deprecate weather-lookup --note "use forecast"'])(
        deprecate
    )


async def push(
    file: File,
    visibility: Annotated[
        Visibility | None,
        typer.Option(help="Who sees the capability: its builders, everyone in the org, every org. At first: private."),
    ] = None,
    publish: Annotated[bool, typer.Option("--publish", help="Publish it too, when the checks pass.")] = False,
) -> Answer:
    """Check a capability's file, upload it and make a draft of it.

    The same bytes again change nothing. A draft of the same version is replaced; what was published never is. Cassettes
    of its examples (hardpoint test --record) go with it: when it is published, they are replayed.
    """
    from hardpoint_cli.documents import document, word
    from hardpoint_cli.findings import checked
    from hardpoint_cli.names import short
    from hardpoint_cli.pushing import push_draft
    from hardpoint_cli.session import connect
    from hardpoint_cli.tapes import all_of

    found = await checked(file)
    if not found.report.ok:
        return Answer(found.document, found.shown, ok=False)
    async with connect() as client:
        wanted = _visibility(visibility)
        with working(f"uploading {file.name}"):
            cassettes = all_of(file, found.report.manifest) if found.report.manifest else {}
            pushed, replaced = await push_draft(client, found, wanted, cassettes)
            if wanted:
                await _show_to(client, pushed.release.name.partition("/releases/")[0], wanted)
        if replaced:
            note("this replaces the draft of the same version")
        state = word(pushed.release, "state")
        if publish and state == "draft":
            return await _published(client, pushed.release.name)
        name = short(pushed.release.name, client.org)
        words = f"{name} is a draft" if state == "draft" else f"{name} was pushed before, and is {state}"
        steps = [f"hardpoint test {file}", f"hardpoint publish {name}"] if state == "draft" else []
        return Answer(
            {"created": pushed.created, "release": document(pushed.release)}, Group(done(words), next_steps(*steps))
        )


async def publish(
    release: Annotated[
        str,
        typer.Argument(
            help="weather-lookup for its newest draft, or weather-lookup@1.0.0.",
            autocompletion=completion.capabilities,
            show_default=False,
        ),
    ],
) -> Answer:
    """Submit a draft for its checks. When they pass it can be installed, and is never changed again."""
    from hardpoint_cli.session import connect

    async with connect() as client:
        return await _published(client, str(await _draft(client, release)))


async def yank(release: Release, note: Note = "") -> Answer:
    """Stop new installations of a published release; what is installed keeps running."""
    from hardpoint.registry.v1 import registry_pb2
    from hardpoint_cli import names
    from hardpoint_cli.documents import document
    from hardpoint_cli.session import connect
    from hardpoint_client.client import new_request_id

    async with connect() as client:
        name = str(names.release(release, client.org))
        request = registry_pb2.YankReleaseRequest(name=name, note=note, request_id=new_request_id())
        yanked = await client.registry.YankRelease(request)
        return Answer({"release": document(yanked)}, done(f"{names.short(name, client.org)} is yanked"))


async def deprecate(capability: Capability, note: Note = "") -> Answer:
    """Advise against a capability; what is installed keeps running."""
    from hardpoint.registry.v1 import registry_pb2
    from hardpoint_cli import names
    from hardpoint_cli.documents import document
    from hardpoint_cli.session import connect
    from hardpoint_client.client import new_request_id

    async with connect() as client:
        name = str(names.capability(capability, client.org))
        request = registry_pb2.DeprecateCapabilityRequest(name=name, note=note, request_id=new_request_id())
        deprecated = await client.registry.DeprecateCapability(request)
        return Answer({"capability": document(deprecated)}, done(f"{names.short(name, client.org)} is deprecated"))


async def _published(client: "Hardpoint", name: str) -> Answer:
    from hardpoint_cli.documents import document, word
    from hardpoint_cli.findings import refused
    from hardpoint_cli.names import short
    from hardpoint_kit.names import ReleaseName

    with working("publishing"):
        release = await client.publish(name)
    state, shown = word(release, "state"), short(name, client.org)
    body: RenderableType
    if state == "rejected":
        body = Group(f"✗ {shown} is rejected:", refused(release.findings))
    else:
        capability = short(str(ReleaseName.parse(name).capability_name), client.org)
        body = Group(
            done(f"{shown} is {state}"), next_steps(f"hardpoint install {capability}", f"hardpoint show {capability}")
        )
    return Answer({"release": document(release)}, body, ok=state != "rejected")


async def _draft(client: "Hardpoint", text: str) -> "ReleaseName":
    """The release that is meant: the one named, else the newest draft."""
    from hardpoint.registry.v1 import registry_pb2
    from hardpoint_cli import names
    from hardpoint_cli.session import collect
    from hardpoint_kit.errors import Conflict
    from hardpoint_kit.names import ReleaseName

    name, version = names.capability_and_version(text, client.org)
    if version:
        return ReleaseName(name.org, name.capability, version)
    request = registry_pb2.ListReleasesRequest(parent=str(name))
    releases = await collect(client.registry.ListReleases, request, "releases")
    drafts = [release.name for release in releases if release.state == registry_pb2.RELEASE_STATE_DRAFT]
    if not drafts:
        raise Conflict(f"{text} has no draft", fix="push one first: hardpoint push FILE", resource=name)
    return ReleaseName.parse(drafts[0])


def _visibility(word: Visibility | None) -> "registry_pb2.Visibility":
    from hardpoint.registry.v1 import registry_pb2

    named: registry_pb2.Visibility = getattr(registry_pb2, f"VISIBILITY_{(word or 'unspecified').upper()}")
    return named


async def _show_to(client: "Hardpoint", name: str, visibility: "registry_pb2.Visibility") -> None:
    """Change who sees a capability that was there before this push."""
    from google.protobuf.field_mask_pb2 import FieldMask

    from hardpoint.registry.v1 import registry_pb2
    from hardpoint_client.client import new_request_id

    capability = await client.registry.GetCapability(registry_pb2.GetCapabilityRequest(name=name))
    if capability.visibility == visibility:
        return
    changed = registry_pb2.Capability(name=name, visibility=visibility, etag=capability.etag)
    await client.registry.UpdateCapability(
        registry_pb2.UpdateCapabilityRequest(
            capability=changed, update_mask=FieldMask(paths=["visibility"]), request_id=new_request_id()
        )
    )
