"""Submissions over the wire: uploaded bytes become one draft, or nothing."""

import asyncio
from pathlib import Path

import pytest
from google.protobuf import json_format, struct_pb2
from sqlalchemy import text

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.registry.v1 import registry_pb2 as pb
from hardpoint_kit.caller import ANY_ORG
from hardpoint_kit.database import Database
from hardpoint_kit.errors import AlreadyExists, InvalidArgument, NotFound
from hardpoint_kit.names import CapabilityName
from hardpoint_registry.store import Store
from registry.client import Client, chunks, digest_of, header, weather

EXAMPLES = Path(__file__).parents[2] / "examples"


async def test_uploaded_bytes_become_a_draft_with_its_findings(builder: Client) -> None:
    source = (EXAMPLES / "weather-capability.yaml").read_bytes()
    answer = await builder.create(source, "weather-capability.yaml")

    assert answer.created
    release = answer.release
    assert release.name == "orgs/acme/capabilities/weather-lookup/releases/1.0.0"
    assert release.state == pb.RELEASE_STATE_DRAFT
    assert release.artifact == pb.Artifact(
        digest=digest_of(source), size_bytes=len(source), filename="weather-capability.yaml"
    )
    assert list(release.manifest.authority.hosts) == ["api.weather.com"]
    assert [(finding.rule, finding.severity) for finding in release.findings] == [
        ("needs-setting", manifest_pb2.SEVERITY_WARNING),
        ("derived-host", manifest_pb2.SEVERITY_INFO),
        ("exact-live-values", manifest_pb2.SEVERITY_INFO),
    ]
    assert await builder.release(release.name) == release
    capability = await builder.capability("orgs/acme/capabilities/weather-lookup")
    assert (capability.display_name, capability.icon) == ("Weather Information", "🌤️")
    assert capability.visibility == pb.VISIBILITY_PRIVATE
    assert capability.latest_version == ""


async def test_the_same_bytes_are_the_same_release(builder: Client) -> None:
    first = await builder.create(weather())
    again = await builder.create(weather())
    assert (first.created, again.created) == (True, False)
    assert again.release == first.release
    published = await builder.publish(first.release.name)
    assert (await builder.create(weather(), "renamed.yaml")).release == published
    assert await builder.versions() == ["1.0.0"]


async def test_a_version_has_one_content(builder: Client) -> None:
    first = await builder.draft(weather())
    with pytest.raises(AlreadyExists) as refused:
        await builder.create(weather(name="Other"))
    assert refused.value.reason == "RELEASE_EXISTS"
    assert refused.value.metadata == {"release": first.name, "digest": first.artifact.digest}
    assert refused.value.fix == "raise the version, or delete the release: it is not published"
    assert await builder.release(first.name) == first


async def test_many_submissions_of_the_same_bytes_at_once_make_one_release(builder: Client) -> None:
    source = weather()
    digest = (await builder.upload(header(source), *chunks(source))).digest
    request = pb.CreateReleaseRequest(parent="orgs/acme", digest=digest, filename="weather.yaml")
    answers = await asyncio.gather(*(builder.registry.CreateRelease(request) for _ in range(8)))
    assert sorted(answer.created for answer in answers) == [False] * 7 + [True]
    assert len({answer.release.SerializeToString(deterministic=True) for answer in answers}) == 1


async def waiting(database: Database, count: int) -> None:
    """Return when this many transactions wait for a lock."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(20):
        while True:
            async with database.transaction(ANY_ORG) as connection:
                if await connection.scalar(query) == count:
                    return


async def test_many_contents_for_one_version_at_once_make_one_release(
    builder: Client, store: Store, database: Database
) -> None:
    await builder.draft(weather("0.1.0"))
    async with store.transaction("acme") as other:
        await other.lock(CapabilityName("acme", "weather"))
        submitted = [asyncio.create_task(builder.create(weather(name=f"Name {number}"))) for number in range(4)]
        await waiting(database, len(submitted))
    answers = await asyncio.gather(*submitted, return_exceptions=True)
    made = [answer for answer in answers if isinstance(answer, pb.CreateReleaseResponse)]
    refused = [answer for answer in answers if isinstance(answer, AlreadyExists)]
    assert (len(made), len(refused)) == (1, 3)
    assert await builder.release(made[0].release.name) == made[0].release


async def test_code_is_released_with_its_header(builder: Client) -> None:
    source = (EXAMPLES / "custom-data-analyzer.js").read_bytes()
    exported = {
        "id": "data-analyzer",
        "name": "Advanced Data Analyzer",
        "version": "1.0.0",
        "actions": [{"id": "analyzeDataset", "async": True}],
        "permissions": ["compute.moderate"],
        "config": {"maxRows": {"type": "number", "default": 10000}},
    }
    release = await builder.draft(
        source, "custom-data-analyzer.js", header=json_format.ParseDict(exported, struct_pb2.Struct())
    )
    assert (release.manifest.kind, release.manifest.language) == (manifest_pb2.KIND_CODE, "javascript")
    assert (await builder.publish(release.name)).state == pb.RELEASE_STATE_PUBLISHED


async def test_an_invalid_manifest_changes_nothing(builder: Client) -> None:
    source = (EXAMPLES / "currency-converter.yaml").read_bytes()
    with pytest.raises(InvalidArgument) as refused:
        await builder.create(source, "currency-converter.yaml")
    assert refused.value.reason == "MANIFEST_INVALID"
    assert refused.value.place == "currency-converter.yaml:1:1"
    assert refused.value.metadata == {"findings": "1"}
    assert refused.value.violations == {
        "capability.permissions": "1:1 convert needs network.http.get (add network.http.get to `permissions`)"
    }
    with pytest.raises(NotFound):
        await builder.capability("orgs/acme/capabilities/currency-converter")
    assert await builder.ids() == []


async def test_checking_only_shows_every_finding_with_its_patch_and_stores_nothing(builder: Client) -> None:
    source = (EXAMPLES / "currency-converter.yaml").read_bytes()
    answer = await builder.create(source, "currency-converter.yaml", validate_only=True, request_id="r1")
    assert not answer.created
    assert answer.release.state == pb.RELEASE_STATE_DRAFT
    missing = answer.release.findings[0]
    assert (missing.rule, missing.severity) == ("missing-permission", manifest_pb2.SEVERITY_ERROR)
    assert [json_format.MessageToDict(operation) for operation in missing.patch] == [
        {"op": "add", "path": "/capability/permissions", "value": ["network.http.get"]}
    ]
    assert await builder.ids() == []


async def test_what_is_no_manifest_is_refused_with_its_place(builder: Client) -> None:
    bad = {
        b"a: &a [x]\nb: [*a, *a]": "bad.yaml:1:4",
        b"capability:\n  id: x\n  id: y": "bad.yaml:3:3",
        b"capability:\n  id: !!python/object/apply:os.system [x]": "bad.yaml:2:7",
        b"capability:\n  id: \xff": "bad.yaml:2:7",
    }
    for source, place in bad.items():
        for validate_only in (False, True):
            with pytest.raises(InvalidArgument) as refused:
                await builder.create(source, "bad.yaml", validate_only=validate_only)
            assert refused.value.reason == "MANIFEST_INVALID"
            assert refused.value.place == place


async def test_bytes_that_never_came_make_no_release(builder: Client) -> None:
    request = pb.CreateReleaseRequest(parent="orgs/acme", digest=digest_of(b"never"), filename="weather.yaml")
    with pytest.raises(NotFound, match="artifact"):
        await builder.registry.CreateRelease(request)


async def test_a_repeated_request_is_answered_as_the_first_one(builder: Client) -> None:
    first = await builder.create(weather(), request_id="one")
    published = await builder.publish(first.release.name, request_id="two")
    assert await builder.create(weather(), request_id="one") == first
    assert await builder.publish(first.release.name, request_id="two") == published
    with pytest.raises(InvalidArgument) as refused:
        await builder.create(weather("1.1.0"), request_id="one")
    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert await builder.versions() == ["1.0.0"]


async def test_a_header_that_is_no_json_is_refused(builder: Client) -> None:
    header = struct_pb2.Struct(fields={"id": struct_pb2.Value(number_value=float("inf"))})
    with pytest.raises(InvalidArgument) as refused:
        await builder.draft(b"export default {}", "x.js", header=header)
    assert "header" in refused.value.violations
