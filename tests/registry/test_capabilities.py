"""Capabilities over the wire: who sees them, how they are found, updated and deprecated."""

from collections.abc import Awaitable, Callable

import pytest

from hardpoint.registry.v1 import registry_pb2 as pb
from hardpoint_kit.errors import Conflict, InvalidArgument, NotFound, PermissionDenied, StaleEtag
from registry.client import CAPABILITY, Client, weather
from registry.conftest import Dial

RELEASE = f"{CAPABILITY}/releases/1.0.0"
SEES_PRIVATE = [("acme", "builder"), ("acme", "operator"), ("acme", "admin"), ("acme", "service")]
SEES_ORGANIZATION = [("acme", "viewer"), ("acme", "agent")]
SEES_PUBLIC = [("globex", "admin"), ("globex", "agent"), ("globex", "service")]


def reads(client: Client) -> dict[str, Callable[[], Awaitable[object]]]:
    """Every way to reach a capability and its release."""
    return {
        "capability": client.capability,
        "releases": client.releases,
        "resolve": client.resolve,
        "release": lambda: client.release(RELEASE),
        "ticket": lambda: client.ticket(RELEASE),
    }


@pytest.mark.parametrize(
    ("visibility", "sees"),
    [
        (pb.VISIBILITY_UNSPECIFIED, SEES_PRIVATE),
        (pb.VISIBILITY_PRIVATE, SEES_PRIVATE),
        (pb.VISIBILITY_ORGANIZATION, SEES_PRIVATE + SEES_ORGANIZATION),
        (pb.VISIBILITY_PUBLIC, SEES_PRIVATE + SEES_ORGANIZATION + SEES_PUBLIC),
    ],
)
async def test_visibility_decides_who_sees_a_release_by_any_way(
    builder: Client, dial: Dial, visibility: pb.Visibility, sees: list[tuple[str, str]]
) -> None:
    await builder.released(weather(), visibility=visibility)
    for org, role in SEES_PRIVATE + SEES_ORGANIZATION + SEES_PUBLIC:
        client = dial(org, role)
        assert await client.ids() == (["weather"] if (org, role) in sees else [])
        assert await client.ids("weather") == (["weather"] if (org, role) in sees else [])
        missing = f"{CAPABILITY}-x"
        assert await client.named(missing, CAPABILITY, CAPABILITY) == ([CAPABILITY] if (org, role) in sees else [])
        for way, read in reads(client).items():
            if (org, role) in sees:
                await read()
                continue
            with pytest.raises(NotFound) as refused:
                await read()
            name = RELEASE if way in ("release", "ticket") else CAPABILITY
            kind = "release" if way in ("release", "ticket") else "capability"
            assert refused.value.message == f'{kind} "{name}" not found'


async def test_another_org_sees_what_was_published_and_no_draft(builder: Client, dial: Dial) -> None:
    stranger = dial("globex", "admin")
    await builder.draft(weather("1.0.0", name="First"), visibility=pb.VISIBILITY_PUBLIC)
    assert await stranger.ids() == []
    assert await stranger.named(CAPABILITY) == []
    for read in reads(stranger).values():
        with pytest.raises(NotFound):
            await read()

    await builder.publish(RELEASE)
    await builder.yank((await builder.released(weather("1.1.0"))).name)
    draft = await builder.draft(weather("2.0.0", name="Secret plan"))
    assert (await stranger.capability()).display_name == "First"
    assert await stranger.versions() == ["1.1.0", "1.0.0"]
    assert await builder.versions() == ["2.0.0", "1.1.0", "1.0.0"]
    assert (await stranger.resolve()).manifest.version == "1.0.0"
    hidden: list[Awaitable[object]] = [stranger.release(draft.name), stranger.ticket(draft.name)]
    for call in hidden:
        with pytest.raises(NotFound):
            await call


async def test_another_org_changes_nothing_that_is_public(builder: Client, dial: Dial) -> None:
    await builder.released(weather(), visibility=pb.VISIBILITY_PUBLIC)
    stranger = dial("globex", "admin")
    calls: list[Awaitable[object]] = [
        stranger.publish(RELEASE),
        stranger.yank(RELEASE),
        stranger.delete(RELEASE),
        stranger.show(pb.VISIBILITY_PRIVATE),
        stranger.registry.DeprecateCapability(pb.DeprecateCapabilityRequest(name=CAPABILITY)),
        stranger.registry.CreateRelease(
            pb.CreateReleaseRequest(parent="orgs/acme", digest="sha256:" + "0" * 64, filename="x.yaml")
        ),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            await call


async def test_only_builders_write(builder: Client, dial: Dial) -> None:
    await builder.released(weather(), visibility=pb.VISIBILITY_ORGANIZATION)
    for role in ("viewer", "agent", "operator"):
        client = dial("acme", role)
        calls: list[Awaitable[object]] = [
            client.draft(weather("2.0.0")),
            client.yank(RELEASE),
            client.show(pb.VISIBILITY_PUBLIC),
        ]
        for call in calls:
            with pytest.raises(PermissionDenied):
                await call


async def test_ids_of_different_orgs_are_different_capabilities(builder: Client, dial: Dial) -> None:
    await builder.released(weather(name="Ours"))
    await dial("globex").released(weather(name="Theirs"))
    assert (await builder.capability()).display_name == "Ours"
    assert (await dial("globex").capability("orgs/globex/capabilities/weather")).display_name == "Theirs"


async def test_capabilities_are_listed_by_id_in_pages(builder: Client) -> None:
    for id in ("b", "a-1", "a", "c"):
        await builder.draft(weather(id=id))
    first = await builder.capabilities(page_size=3)
    second = await builder.capabilities(page_size=3, page_token=first.next_page_token)
    listed = [[capability.name.rpartition("/")[2] for capability in page.capabilities] for page in (first, second)]
    assert listed == [["a", "a-1", "b"], ["c"]]
    assert second.next_page_token == ""


async def test_a_page_token_belongs_to_its_query(builder: Client) -> None:
    for id in ("a", "b"):
        await builder.draft(weather(id=id))
    token = (await builder.capabilities(page_size=1)).next_page_token
    with pytest.raises(InvalidArgument) as refused:
        await builder.capabilities("weather", page_token=token)
    assert refused.value.reason == "PAGE_TOKEN_MISMATCH"


SEARCHES = {
    "forecast": ["forecast", "storms"],
    "FORECAST": ["forecast", "storms"],
    "fore": ["forecast", "storms"],
    "sea lev": ["tides"],
    "lev sea": [],
    "storm-warn": ["storms"],
    "storm -sky": [],
    '"sea level"': ["tides"],
    '"level sea"': [],
    "sky or sea": ["forecast", "storms", "tides"],
    "ocean": ["tides"],
    "nothing": [],
    "  ": ["forecast", "storms", "tides"],
    "';--": [],
    "& | ! ( :*": [],
    '"unclosed': [],
}


async def test_words_find_capabilities_and_the_last_may_be_unfinished(builder: Client) -> None:
    await builder.draft(weather(id="forecast", name="Forecast", description="The sky of tomorrow"))
    await builder.draft(weather(id="storms", name="Storm warnings", description="A forecast of the sky"))
    await builder.draft(weather(id="tides", name="Tides", description="The sea level", tags=("ocean",)))
    assert {query: sorted(await builder.ids(query)) for query in SEARCHES} == SEARCHES


async def test_names_rank_above_tags_and_tags_above_descriptions(builder: Client) -> None:
    await builder.draft(weather(id="a", name="A", description="rain"))
    await builder.draft(weather(id="b", name="B", tags=("rain",)))
    await builder.draft(weather(id="c", name="Rain"))
    assert await builder.ids("rain") == ["c", "b", "a"]


async def test_what_is_found_comes_in_pages_without_gaps(builder: Client) -> None:
    for number in range(7):
        rain = "rain " * (number % 3 + 1)
        await builder.draft(weather(id=f"w{number}", name=f"W{number}", description=rain))
    whole = await builder.ids("rain")
    seen: list[str] = []
    token = ""
    for _ in range(4):
        page = await builder.capabilities("rain", page_size=2, page_token=token)
        seen += [capability.name.rpartition("/")[2] for capability in page.capabilities]
        token = page.next_page_token
    assert (seen, token) == (whole, "")
    assert len(set(whole)) == 7


async def test_search_follows_the_description_of_the_latest_release(builder: Client) -> None:
    await builder.released(weather("1.0.0", description="rain"))
    await builder.draft(weather("2.0.0", description="snow"))
    assert (await builder.ids("rain"), await builder.ids("snow")) == (["weather"], [])
    await builder.publish(f"{CAPABILITY}/releases/2.0.0")
    assert (await builder.ids("rain"), await builder.ids("snow")) == ([], ["weather"])


async def test_visibility_is_changed_from_what_was_read_last(builder: Client, dial: Dial) -> None:
    await builder.released(weather())
    read = await builder.capability()
    changed = await builder.show(pb.VISIBILITY_PUBLIC, etag=read.etag)
    assert changed.visibility == pb.VISIBILITY_PUBLIC
    assert changed.etag != read.etag
    assert await builder.capability() == changed
    with pytest.raises(StaleEtag):
        await builder.show(pb.VISIBILITY_PRIVATE, etag=read.etag)
    assert await dial("globex").ids() == ["weather"]


async def test_an_update_names_a_visibility_and_nothing_else(builder: Client) -> None:
    await builder.draft(weather())
    with pytest.raises(InvalidArgument) as unsaid:
        await builder.show(pb.VISIBILITY_UNSPECIFIED)
    assert "capability.visibility" in unsaid.value.violations
    request = pb.UpdateCapabilityRequest(
        capability=pb.Capability(name=CAPABILITY, visibility=pb.VISIBILITY_PUBLIC), update_mask={"paths": ["icon"]}
    )
    with pytest.raises(InvalidArgument) as refused:
        await builder.registry.UpdateCapability(request)
    assert "update_mask" in refused.value.violations
    with pytest.raises(NotFound):
        await builder.show(pb.VISIBILITY_PUBLIC, name="orgs/acme/capabilities/none")


async def test_a_later_release_does_not_change_the_visibility(builder: Client) -> None:
    await builder.draft(weather(), visibility=pb.VISIBILITY_ORGANIZATION)
    await builder.draft(weather("1.1.0"), visibility=pb.VISIBILITY_PUBLIC)
    assert (await builder.capability()).visibility == pb.VISIBILITY_ORGANIZATION


async def test_a_deprecated_capability_goes_on_working(builder: Client) -> None:
    release = await builder.released(weather())
    request = pb.DeprecateCapabilityRequest(name=CAPABILITY, note="use sky", request_id="r")
    deprecated = await builder.registry.DeprecateCapability(request)
    assert (deprecated.state, deprecated.deprecation_note) == (pb.CAPABILITY_STATE_DEPRECATED, "use sky")
    assert await builder.registry.DeprecateCapability(request) == deprecated
    assert await builder.resolve() == release
    with pytest.raises(Conflict):
        await builder.registry.DeprecateCapability(pb.DeprecateCapabilityRequest(name=CAPABILITY))
