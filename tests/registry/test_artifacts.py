"""Bytes over the wire: uploaded whole or not at all, read with a ticket."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from hardpoint.registry.v1 import registry_pb2 as pb
from hardpoint_kit.caller import ANY_ORG, Caller
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.database import Database
from hardpoint_kit.errors import InvalidArgument, NotFound, OutOfRange, PermissionDenied, Unauthenticated
from hardpoint_kit.names import OrgName
from hardpoint_manifest.load import MAX_BYTES
from hardpoint_registry.artifacts import Artifacts
from hardpoint_registry.domain import Artifact
from hardpoint_registry.store import Store
from hardpoint_registry.upload import Announcement
from registry.client import Client, chunks, digest_of, header, weather
from registry.conftest import Dial, MakeUnit
from serving import Serve, SetClock

BUILDER = Caller("ada", "acme", frozenset({"builder"}))


async def stored(database: Database) -> tuple[int, int]:
    """How many artifacts and how many blobs there are, of all orgs."""
    async with database.transaction(ANY_ORG) as connection:
        artifacts = await connection.scalar(text("SELECT count(*) FROM artifacts"))
        blobs = await connection.scalar(text("SELECT count(*) FROM blobs"))
    return artifacts or 0, blobs or 0


async def test_bytes_are_read_as_they_were_uploaded_in_chunks(builder: Client) -> None:
    # A comment makes the file larger than a chunk.
    source = weather() + b"# " + b"x" * 200_000
    release = await builder.draft(source)
    ticket = await builder.ticket(release.name)
    read = await builder.read(release.artifact.digest, ticket.ticket)
    assert [len(chunk) for chunk in read] == [65536, 65536, 65536, len(source) - 3 * 65536]
    assert b"".join(read) == source


async def test_the_same_bytes_are_kept_once_for_all_orgs(builder: Client, dial: Dial, database: Database) -> None:
    data = weather()
    for client in (builder, builder, dial("globex")):
        assert (await client.upload(header(data, client.org), *chunks(data))).size_bytes == len(data)
    assert await stored(database) == (2, 1)


async def test_whoever_knows_a_digest_does_not_have_the_bytes(builder: Client, dial: Dial) -> None:
    draft = await builder.draft(weather())
    stranger = dial("globex")
    request = pb.CreateReleaseRequest(parent="orgs/globex", digest=draft.artifact.digest, filename="weather.yaml")
    with pytest.raises(NotFound):
        await stranger.registry.CreateRelease(request)


async def test_a_wrong_upload_is_refused_and_leaves_nothing(builder: Client, database: Database) -> None:
    wrong: list[tuple[list[pb.UploadArtifactRequest], str]] = [
        ([header(b"abc"), *chunks(b"ab")], "ARTIFACT_INCOMPLETE"),
        ([header(b"abc")], "ARTIFACT_INCOMPLETE"),
        ([header(b"abc"), *chunks(b"abd")], "DIGEST_MISMATCH"),
        ([header(b"abc"), header(b"abc"), *chunks(b"abc")], "INVALID_ARGUMENT"),
        ([*chunks(b"abc")], "INVALID_ARGUMENT"),
        ([pb.UploadArtifactRequest()], "INVALID_ARGUMENT"),
        ([], "INVALID_ARGUMENT"),
        ([header(b"abc", digest="md5:00")], "INVALID_ARGUMENT"),
        ([header(b"abc", size=-1)], "INVALID_ARGUMENT"),
        ([header(b"abc"), pb.UploadArtifactRequest(chunk=b"x" * 262_145)], "INVALID_ARGUMENT"),
    ]
    for messages, reason in wrong:
        with pytest.raises(InvalidArgument) as refused:
            await builder.upload(*messages)
        assert refused.value.reason == reason, messages
    assert await stored(database) == (0, 0)


async def test_a_large_file_is_refused_when_it_is_announced(builder: Client) -> None:
    for size in (MAX_BYTES + 1, 10_000_000, 2**62):
        with pytest.raises(OutOfRange) as refused:
            await builder.upload(header(b"never sent", size=size))
        assert refused.value.reason == "ARTIFACT_TOO_LARGE"
        assert refused.value.metadata == {"limit_bytes": str(MAX_BYTES)}


async def test_more_than_announced_is_refused_as_it_comes(builder: Client) -> None:
    async def endless() -> AsyncIterator[pb.UploadArtifactRequest]:
        yield header(b"abc")
        while True:
            yield pb.UploadArtifactRequest(chunk=b"x" * 1000)

    with pytest.raises(OutOfRange) as refused:
        await builder.artifacts.UploadArtifact(endless())
    assert refused.value.reason == "ARTIFACT_TOO_LARGE"


async def test_an_upload_that_breaks_off_leaves_nothing(store: Store, database: Database) -> None:
    async def breaks_off() -> AsyncIterator[Announcement | bytes]:
        yield Announcement(OrgName("acme"), Artifact(digest_of(b"abcdef"), 6))
        yield b"abc"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await Artifacts(store, SystemClock()).upload(BUILDER, breaks_off())
    assert await stored(database) == (0, 0)


async def test_bytes_are_seen_by_others_after_the_commit_and_not_before(store: Store, database: Database) -> None:
    artifact = Artifact(digest_of(b"abc"), 3)

    async def dies_before_the_commit() -> None:
        async with store.transaction("acme") as tx:
            await tx.blobs.add("acme", artifact, b"abc")
            assert await tx.blobs.read("acme", artifact.digest) == b"abc"
            assert await stored(database) == (0, 0)
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await dies_before_the_commit()
    assert await stored(database) == (0, 0)


async def test_bytes_are_uploaded_into_ones_own_org(builder: Client, dial: Dial) -> None:
    with pytest.raises(NotFound):
        await builder.upload(header(b"abc", org="globex"), *chunks(b"abc"))
    with pytest.raises(PermissionDenied):
        await dial("acme", "viewer").upload(header(b"abc"), *chunks(b"abc"))


async def test_a_ticket_is_good_for_an_hour(builder: Client, clock: SetClock) -> None:
    release = await builder.draft(weather())
    ticket = (await builder.ticket(release.name)).ticket
    clock.move(minutes=59)
    assert b"".join(await builder.read(release.artifact.digest, ticket)) == weather()
    clock.move(minutes=1)
    with pytest.raises(Unauthenticated) as refused:
        await builder.read(release.artifact.digest, ticket)
    assert refused.value.reason == "TICKET_INVALID"


async def test_a_ticket_is_for_one_digest(builder: Client) -> None:
    one, other = await builder.draft(weather()), await builder.draft(weather("1.1.0"))
    ticket = (await builder.ticket(one.name)).ticket
    with pytest.raises(Unauthenticated) as refused:
        await builder.read(other.artifact.digest, ticket)
    assert refused.value.reason == "TICKET_INVALID"


async def test_whoever_holds_a_ticket_reads_without_a_token(builder: Client, dial: Dial) -> None:
    """As the executor does: another org's public release is read with the ticket alone."""
    await builder.released(weather(), visibility=pb.VISIBILITY_PUBLIC)
    release = await dial("globex", "operator").resolve()
    ticket = (await dial("globex", "operator").ticket(release.name)).ticket
    nobody = dial("initech", "viewer")
    assert b"".join(await nobody.read(release.artifact.digest, ticket)) == weather()


async def test_replicas_read_each_others_tickets(
    builder: Client, serve: Serve, make_unit: MakeUnit, dial: Dial
) -> None:
    release = await builder.draft(weather())
    ticket = (await builder.ticket(release.name)).ticket
    other = dial("acme", to=await serve(make_unit()))
    assert b"".join(await other.read(release.artifact.digest, ticket)) == weather()
