"""Releases over the wire: published, resolved, listed, yanked, deleted, audited."""

from collections.abc import Awaitable, Callable

import pytest

from hardpoint.registry.v1 import registry_pb2 as pb
from hardpoint_kit.errors import Conflict, HardpointError, InvalidArgument, NotFound
from hardpoint_kit.paging import PageToken, query_fingerprint
from registry.client import CAPABILITY, Client, weather

RELEASE = f"{CAPABILITY}/releases/1.0.0"


async def test_publishing_makes_a_release_installable(builder: Client) -> None:
    draft = await builder.draft(weather())
    with pytest.raises(Conflict) as unresolved:
        await builder.resolve()
    assert unresolved.value.reason == "NO_MATCHING_RELEASE"
    published = await builder.publish(draft.name)

    assert published.state == pb.RELEASE_STATE_PUBLISHED
    assert published.HasField("publish_time")
    assert published.etag != draft.etag
    assert await builder.release(draft.name) == published
    assert await builder.resolve() == published
    assert (await builder.capability()).latest_version == "1.0.0"


async def test_a_published_release_is_neither_published_again_nor_deleted(builder: Client) -> None:
    name = (await builder.released(weather())).name
    for refuse in (builder.publish(name), builder.delete(name)):
        with pytest.raises(Conflict) as refused:
            await refuse
        assert refused.value.reason == "RELEASE_NOT_DRAFT"
        assert refused.value.metadata == {"release": name, "state": "PUBLISHED"}


async def test_a_deleted_draft_frees_its_version(builder: Client) -> None:
    name = (await builder.draft(weather())).name
    await builder.delete(name)
    with pytest.raises(NotFound):
        await builder.release(name)
    assert (await builder.create(weather(name="Other"))).created


async def test_what_is_missing_is_not_found_by_any_verb(builder: Client) -> None:
    await builder.draft(weather())
    calls: list[Callable[[str], Awaitable[object]]] = [
        builder.release,
        builder.publish,
        builder.yank,
        builder.delete,
        builder.ticket,
    ]
    for name in (f"{CAPABILITY}/releases/9.0.0", "orgs/acme/capabilities/none/releases/1.0.0"):
        for call in calls:
            with pytest.raises(NotFound) as refused:
                await call(name)
            assert refused.value.message == f'release "{name}" not found'


async def test_the_latest_is_the_highest_that_is_published_and_no_prerelease(builder: Client) -> None:
    for version in ("1.10.0", "1.9.0", "2.0.0-rc.1"):
        await builder.released(weather(version, name=f"Weather {version}"))
    await builder.draft(weather("3.0.0", name="Weather 3.0.0"))
    capability = await builder.capability()
    assert (capability.latest_version, capability.display_name) == ("1.10.0", "Weather 1.10.0")
    assert (await builder.resolve()).manifest.version == "1.10.0"
    assert (await builder.resolve("2.0.0-rc.1")).manifest.version == "2.0.0-rc.1"
    assert (await builder.resolve("~1.9")).manifest.version == "1.9.0"


async def test_a_yanked_release_is_not_resolved_but_still_read_and_served(builder: Client) -> None:
    old = await builder.released(weather("1.0.0", name="Old"))
    new = await builder.released(weather("1.1.0", name="New"))
    yanked = await builder.yank(new.name, "leaks")

    assert (yanked.state, yanked.yank_note) == (pb.RELEASE_STATE_YANKED, "leaks")
    assert await builder.resolve("1.x") == old
    assert await builder.release(new.name) == yanked
    ticket = (await builder.ticket(new.name)).ticket
    assert b"".join(await builder.read(new.artifact.digest, ticket)) == weather("1.1.0", name="New")
    capability = await builder.capability()
    assert (capability.latest_version, capability.display_name) == ("1.0.0", "Old")
    with pytest.raises(Conflict) as exact:
        await builder.resolve("1.1.0")
    assert exact.value.reason == "RELEASE_YANKED"
    assert exact.value.fix == "choose among 1.0.0"
    with pytest.raises(Conflict):
        await builder.yank(new.name)


async def test_what_does_not_fit_says_what_there_is(builder: Client) -> None:
    await builder.released(weather("1.2.0"))
    with pytest.raises(Conflict) as refused:
        await builder.resolve(">=2")
    assert refused.value.reason == "NO_MATCHING_RELEASE"
    assert refused.value.metadata == {"capability": CAPABILITY, "constraint": ">=2"}
    assert refused.value.fix == "choose among 1.2.0"
    with pytest.raises(InvalidArgument):
        await builder.resolve("newest")
    with pytest.raises(NotFound):
        await builder.resolve("1.x", "orgs/acme/capabilities/none")


async def test_releases_are_listed_by_version_in_pages(builder: Client) -> None:
    ordered = ["10.0.0", "2.0.0", "2.0.0-rc.10", "2.0.0-rc.2", "2.0.0-alpha", "1.9.0"]
    for version in sorted(ordered):
        await builder.draft(weather(version))
    seen, token = [], ""
    for size in (4, 1, 4):
        page = await builder.releases(page_size=size, page_token=token)
        seen.append([release.manifest.version for release in page.releases])
        token = page.next_page_token
    assert seen == [ordered[:4], ordered[4:5], ordered[5:]]
    assert token == ""


async def test_a_page_of_large_releases_ends_early(builder: Client) -> None:
    # Each has many long texts: three of them fill a page, whatever was asked for.
    for number in range(4):
        actions = "".join(
            f"    - {{id: a{i}, description: {'x' * 4000}, integration: {{endpoint: 'https://api.example.com/'}}}}\n"
            for i in range(190)
        )
        source = (
            f"capability:\n  id: weather\n  version: 1.0.{number}\n  permissions: [network.http.get]\n"
            f"  actions:\n{actions}"
        )
        await builder.draft(source.encode())
    first = await builder.releases()
    rest = await builder.releases(page_token=first.next_page_token)
    versions = [[release.manifest.version for release in page.releases] for page in (first, rest)]
    assert versions == [["1.0.3", "1.0.2"], ["1.0.1", "1.0.0"]]
    assert rest.next_page_token == ""


async def test_a_page_token_of_nobody_is_refused(builder: Client) -> None:
    await builder.draft(weather())
    for token in ("???", "W10", "WyJhIiwgImIiXQ"):
        for listed in (builder.releases(page_token=token), builder.capabilities(page_token=token)):
            with pytest.raises(InvalidArgument) as refused:
                await listed
            assert refused.value.reason == "PAGE_TOKEN_MISMATCH"


async def test_a_page_token_made_up_for_the_query_is_refused(builder: Client) -> None:
    await builder.draft(weather())
    list_releases = query_fingerprint(pb.ListReleasesRequest(parent=CAPABILITY))
    list_capabilities = query_fingerprint(pb.ListCapabilitiesRequest(parent="orgs/acme"))
    for cursor in ((), (1,), ("a", "b"), ("\0",), (1, "\0"), ("a", 1)):
        for listed in (
            builder.releases(page_token=PageToken.encode(list_releases, cursor)),
            builder.capabilities(page_token=PageToken.encode(list_capabilities, cursor)),
        ):
            with pytest.raises(InvalidArgument) as refused:
                await listed
            assert refused.value.reason == "PAGE_TOKEN_MISMATCH"


async def test_malformed_requests_are_refused_by_name(builder: Client) -> None:
    calls: list[tuple[str, Awaitable[object]]] = [
        ("name", builder.release("orgs/acme/capabilities/weather")),
        ("name", builder.publish(f"{CAPABILITY}/releases/one")),
        ("parent", builder.releases("orgs/acme")),
        ("digest", builder.registry.CreateRelease(pb.CreateReleaseRequest(parent="orgs/acme", filename="x"))),
        ("note", builder.yank(RELEASE, "x" * 501)),
    ]
    for field, call in calls:
        with pytest.raises(InvalidArgument) as refused:
            await call
        assert field in refused.value.violations


async def test_a_zero_character_anywhere_is_refused(builder: Client) -> None:
    await builder.released(weather())
    deprecate = pb.DeprecateCapabilityRequest(name=CAPABILITY, note="\0")
    calls: list[Awaitable[object]] = [
        builder.yank(RELEASE, "\0"),
        builder.registry.DeprecateCapability(deprecate),
        builder.capabilities("\0"),
        builder.resolve("\0"),
        builder.release(f"{CAPABILITY}/releases/\0"),
        builder.draft(weather("1.1.0"), "\0.yaml"),
        builder.draft(weather("1.1.0", description="\\0")),
    ]
    for call in calls:
        with pytest.raises(InvalidArgument):
            await call


async def test_every_write_is_audited_with_its_facts(builder: Client, dial: Callable[..., Client]) -> None:
    draft = await builder.draft(weather())
    await builder.publish(draft.name)
    await builder.show(pb.VISIBILITY_PUBLIC)
    await builder.yank(draft.name)
    await builder.registry.DeprecateCapability(pb.DeprecateCapabilityRequest(name=CAPABILITY, note="old"))
    other = await builder.draft(weather("2.0.0"))
    await builder.delete(other.name)

    events = await dial("acme", "admin").events()
    assert [event.action for event in reversed(events)] == [
        "artifact.upload",
        "release.create",
        "release.submit",
        "release.publish",
        "capability.update",
        "release.yank",
        "capability.deprecate",
        "artifact.upload",
        "release.create",
        "release.delete",
    ]
    assert {event.subject for event in events} == {"ada"}
    created = events[-2]
    assert (created.resource, dict(created.facts)) == (draft.name, {"digest": draft.artifact.digest})
    assert dict(events[-5].facts) == {"visibility": "public"}


async def test_a_refused_write_leaves_no_event(builder: Client, dial: Callable[..., Client]) -> None:
    name = (await builder.released(weather())).name
    before = len(await dial("acme", "admin").events())
    for refuse in (builder.publish(name), builder.delete(name)):
        with pytest.raises(HardpointError):
            await refuse
    assert len(await dial("acme", "admin").events()) == before
