"""Checks outlive the process that runs them: what was submitted is published or rejected once, whoever comes next."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.registry.v1 import registry_pb2 as pb
from hardpoint_kit.caller import ANY_ORG, Caller
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.database import Database
from hardpoint_kit.errors import Conflict
from hardpoint_kit.names import CapabilityName, ReleaseName
from hardpoint_registry.domain import Artifact, Release, ReleaseState
from hardpoint_registry.service import Registry
from hardpoint_registry.store import Store
from hardpoint_registry.upload import digest_of
from registry.client import Client, weather
from registry.conftest import Dial, MakeUnit
from serving import Serve

NAME = ReleaseName("acme", "weather", "1.0.0")
BUILDER = Caller("ada", "acme", frozenset({"builder"}))


async def interrupt(store: Store, name: ReleaseName = NAME) -> None:
    """Leave a draft as a process does that dies between submission and checks."""
    async with store.transaction(name.org) as tx:
        await tx.save_release((await tx.release(name)).submitted())


async def outdate(store: Store, name: ReleaseName = NAME) -> None:
    """Give a draft the bytes of one that today's rules refuse, as if it was made when they were fewer."""
    bad = weather(permissions=())
    async with store.transaction(name.org) as tx:
        draft = await tx.release(name)
        artifact = Artifact(digest_of(bad), len(bad), draft.artifact.filename)
        await tx.blobs.add(name.org, artifact, bad)
        await tx.delete_release(name)
        await tx.add_release(replace(draft, artifact=artifact))


async def state(store: Store, name: ReleaseName = NAME) -> ReleaseState:
    async with store.transaction(name.org) as tx:
        return (await tx.release(name)).state


async def test_a_release_left_in_checking_is_published_by_the_next_start(
    builder: Client, store: Store, serve: Serve, make_unit: MakeUnit, dial: Dial
) -> None:
    await builder.draft(weather())
    await interrupt(store)
    assert (await builder.release(str(NAME))).state == pb.RELEASE_STATE_CHECKING
    await serve(make_unit())
    assert (await builder.release(str(NAME))).state == pb.RELEASE_STATE_PUBLISHED
    assert (await builder.capability()).latest_version == "1.0.0"
    event = (await dial("acme", "admin").events())[0]
    assert (event.action, event.subject, event.resource) == ("release.publish", "system", str(NAME))


async def test_the_next_call_ends_interrupted_checks_too(builder: Client, store: Store) -> None:
    await builder.draft(weather())
    await interrupt(store)
    assert (await builder.publish(str(NAME))).state == pb.RELEASE_STATE_PUBLISHED


async def test_a_repeated_publication_ends_what_the_first_one_began(
    builder: Client, store: Store, database: Database
) -> None:
    await builder.draft(weather())

    class Dies(Registry):
        async def _finish(self, *_: object) -> Release:
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await Dies(Store(database), SystemClock()).publish_release(replace(BUILDER, request_id="r"), NAME, "same")
    assert await state(store) is ReleaseState.CHECKING
    again = await Registry(store, SystemClock()).publish_release(replace(BUILDER, request_id="r"), NAME, "same")
    assert again.state is ReleaseState.PUBLISHED


async def test_replicas_that_start_together_end_each_check_once(builder: Client, url: str, dial: Dial) -> None:
    names = [ReleaseName("acme", f"weather-{number}", "1.0.0") for number in range(5)]
    for name in names:
        await builder.draft(weather(id=name.capability))
    replicas = [Database(url) for _ in range(3)]
    for name in names:
        await interrupt(Store(replicas[0]), name)
    await asyncio.gather(*(Registry(Store(replica), SystemClock()).resume() for replica in replicas))
    assert [await state(Store(replicas[0]), name) for name in names] == [ReleaseState.PUBLISHED] * 5
    actions = [event.action for event in await dial("acme", "admin").events()]
    assert actions.count("release.publish") == 5
    for replica in replicas:
        await replica.close()


async def test_a_check_that_another_replica_is_at_is_left_to_it(
    builder: Client, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await builder.draft(weather())
    await interrupt(store)
    registry = Registry(store, SystemClock())
    async with store.transaction("acme") as other:
        assert await other.lock(CapabilityName("acme", "weather"))
        await registry.resume()
        assert (await other.release(NAME)).state is ReleaseState.CHECKING
    assert "cannot be ended" not in caplog.text  # it did not wait in vain either
    await registry.resume()
    assert await state(store) is ReleaseState.PUBLISHED


async def test_a_check_that_breaks_does_not_keep_the_others(
    builder: Client, store: Store, monkeypatch: pytest.MonkeyPatch, serve: Serve, make_unit: MakeUnit
) -> None:
    other = ReleaseName("acme", "other", "1.0.0")
    await builder.draft(weather())
    await builder.draft(weather(id="other"))
    await interrupt(store)
    await interrupt(store, other)
    finish = Registry._finish

    async def breaks(self: Registry, tx: object, caller: Caller, release: Release) -> Release:
        if release.name == NAME:
            raise RuntimeError("a defect")
        return await finish(self, tx, caller, release)  # type: ignore[arg-type]

    monkeypatch.setattr(Registry, "_finish", breaks)
    await serve(make_unit())
    assert await state(store) is ReleaseState.CHECKING
    assert await state(store, other) is ReleaseState.PUBLISHED


async def test_a_draft_that_the_rules_have_outgrown_is_rejected_with_findings(
    builder: Client, store: Store, dial: Dial
) -> None:
    await builder.draft(weather())
    await outdate(store)
    rejected = await builder.publish(str(NAME))

    assert rejected.state == pb.RELEASE_STATE_REJECTED
    assert not rejected.HasField("publish_time")
    assert [finding.rule for finding in rejected.findings if finding.severity == manifest_pb2.SEVERITY_ERROR] == [
        "missing-permission"
    ]
    assert (await builder.capability()).latest_version == ""
    assert (await dial("acme", "admin").events())[0].action == "release.reject"
    with pytest.raises(Conflict):
        await builder.publish(str(NAME))
    await builder.delete(str(NAME))
    assert (await builder.released(weather())).state == pb.RELEASE_STATE_PUBLISHED


async def test_a_release_in_checking_is_not_deleted(builder: Client, store: Store) -> None:
    await builder.draft(weather())
    await interrupt(store)
    with pytest.raises(Conflict):
        await builder.delete(str(NAME))


async def test_times_are_kept_as_they_are_answered(builder: Client, store: Store) -> None:
    published = await builder.released(weather())
    async with store.transaction(ANY_ORG) as tx:
        kept = await tx.release(NAME)
    assert kept.publish_time == datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    assert published.etag == kept.etag
