"""Standard capabilities in the registry: published at its start, once for their bytes, and nobody else's to change."""

import asyncio
from dataclasses import replace

import pytest

from hardpoint.registry.v1 import registry_pb2
from hardpoint_kit.auth import DevKeys, Verifier
from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.clock import Clock
from hardpoint_kit.database import migrate
from hardpoint_kit.errors import Unauthenticated
from hardpoint_kit.names import PRODUCT_ORG, CapabilityName
from hardpoint_registry.domain import ReleaseState
from hardpoint_registry.service import PageRequest, Registry
from hardpoint_registry.store import Store
from hardpoint_standard import Shipped, shipped
from registry.conftest import Dial, MakeUnit
from serving import Serve

OCR = CapabilityName(PRODUCT_ORG, "ocr")


async def test_every_org_sees_what_is_shipped_published_and_public(
    make_unit: MakeUnit, serve: Serve, dial: Dial
) -> None:
    client = dial("globex", "agent", to=await serve(make_unit(shipped)))
    for one in shipped():
        name = f"orgs/{PRODUCT_ORG}/capabilities/{one.manifest.id}"
        found = await client.registry.GetCapability(registry_pb2.GetCapabilityRequest(name=name))
        assert (found.visibility, found.latest_version) == (registry_pb2.VISIBILITY_PUBLIC, one.manifest.version)
    release = await client.registry.ResolveRelease(registry_pb2.ResolveReleaseRequest(capability=str(OCR)))
    assert (release.state, release.manifest.author) == (registry_pb2.RELEASE_STATE_PUBLISHED, "Hardpoint")


async def test_a_start_publishes_what_is_new_and_leaves_what_is_there(
    make_unit: MakeUnit, serve: Serve, store: Store, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    first = await serve(make_unit(shipped))
    await first.stop()
    await serve(make_unit(shipped))
    registry = Registry(store, clock)
    versions = await _versions(registry)
    assert len(versions) == 1

    ocr = next(one for one in shipped() if one.filename == "ocr.py")
    await registry.publish_standard([_changed(ocr, "1.1.0")])
    await registry.publish_standard([_changed(ocr, "1.1.0")])
    assert await _versions(registry) == {**versions, "1.1.0": ReleaseState.PUBLISHED}
    before = await registry.resolve_release(SYSTEM(PRODUCT_ORG), OCR, "")
    await registry.publish_standard([Shipped(ocr.filename, ocr.source + b"# other\n", _changed(ocr, "1.1.0").header)])
    assert await registry.resolve_release(SYSTEM(PRODUCT_ORG), OCR, "") == before
    assert "is not the one that is shipped" in caplog.text


async def test_replicas_that_start_together_publish_it_once(url: str, store: Store, clock: Clock) -> None:
    await migrate(url, "hardpoint_registry")
    replicas = [Registry(store, clock) for _ in range(3)]
    await asyncio.gather(*(replica.publish_standard(shipped()) for replica in replicas))
    assert list((await _versions(replicas[0])).values()) == [ReleaseState.PUBLISHED]


async def test_a_token_for_the_products_own_org_is_nobodys(keys: DevKeys) -> None:
    verifier = Verifier(keys.jwks(), "hardpoint")
    with pytest.raises(Unauthenticated, match="nobody acts for the org hardpoint"):
        await verifier.verify(keys.mint("mallory", PRODUCT_ORG, ["admin"]))
    assert (await verifier.verify(keys.mint("registry", PRODUCT_ORG, ["service"]))).is_service


def _changed(one: Shipped, version: str) -> Shipped:
    return replace(one, source=one.source + version.encode(), header={**one.header, "version": version})


async def _versions(registry: Registry) -> dict[str, ReleaseState]:
    found = await registry.releases(SYSTEM(PRODUCT_ORG), OCR, PageRequest("q"))
    return {release.name.version: release.state for release in found.items}
