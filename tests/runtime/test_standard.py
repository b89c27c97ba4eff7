"""Standard capabilities in an org: there from its first use, each once, and the operators' from then on."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import pytest

from hardpoint.manifest.v1.manifest_pb2 import Authority
from hardpoint.runtime.v1 import installation_pb2 as pb
from hardpoint_kit.errors import AlreadyExists, Conflict, NotFound, Unavailable
from hardpoint_kit.names import PRODUCT_ORG
from hardpoint_manifest.authority import Authority as Asked
from hardpoint_standard import Shipped, shipped
from runtime.conftest import Another, Client, Dial, Fakes, Query
from runtime.factories import API_KEY, release

ASKS = Asked(frozenset({"integration.email", "compute.moderate"}))
EMAIL = "orgs/acme/installations/email"


def only(*names: str, version: str = "1.0.0") -> tuple[Shipped, ...]:
    """Some of what is shipped, in a version."""
    found = [one for one in shipped() if one.manifest.id in names]
    return tuple(replace(one, header={**one.header, "version": version}) for one in found)


def publish(fakes: Fakes, *names: str, version: str = "1.0.0") -> None:
    fakes.registry.add(*(release(name, version, org=PRODUCT_ORG, asks=ASKS) for name in names))


async def listed(client: Client, org: str = "acme") -> list[str]:
    found = await client.installations.ListInstallations(pb.ListInstallationsRequest(parent=f"orgs/{org}"))
    return [one.name.rpartition("/")[2] for one in found.installations]


async def get(client: Client, name: str = EMAIL) -> pb.Installation:
    return await client.installations.GetInstallation(pb.GetInstallationRequest(name=name))


@pytest.fixture
def both(fakes: Fakes) -> Iterable[Shipped]:
    publish(fakes, "email", "ocr")
    return only("email", "ocr")


async def test_an_agent_attaches_one_without_any_installing(
    another: Another, dial: Dial, both: tuple[Shipped, ...]
) -> None:
    client = dial(await another(lambda: both))
    await client.create_agent()
    await client.attach(EMAIL)
    made = await get(client)
    assert (made.release, made.capability) == (
        "orgs/hardpoint/capabilities/email/releases/1.0.0",
        "orgs/hardpoint/capabilities/email",
    )
    assert made.grants == Authority(permissions=["compute.moderate", "integration.email"])
    assert made.ungranted == Authority()
    assert await client.events() == [
        "agent.create orgs/acme/agents/helper",
        f"installation.create {EMAIL}",
        "installation.create orgs/acme/installations/ocr",
        "capability.attach orgs/acme/agents/helper/attachments/email",
    ]


async def test_every_org_has_its_own_and_whoever_looks_first_finds_them(
    another: Another, dial: Dial, both: tuple[Shipped, ...], query: Query
) -> None:
    server = await another(lambda: both)
    acme, globex = dial(server), dial(server, "globex", "viewer")
    assert await query("SELECT count(*) FROM installations") == [(0,)]
    answers = await asyncio.gather(*(listed(acme) for _ in range(5)))
    assert answers == [["email", "ocr"]] * 5
    assert await query("SELECT DISTINCT org FROM installations") == [("acme",)]
    assert await listed(globex, "globex") == ["email", "ocr"]


async def test_one_that_was_deleted_stays_deleted_and_can_be_installed_again(
    another: Another, dial: Dial, both: tuple[Shipped, ...], fakes: Fakes
) -> None:
    client = dial(await another(lambda: both))
    await client.installations.DeleteInstallation(pb.DeleteInstallationRequest(name=EMAIL))
    assert await listed(client) == ["ocr"]
    publish(fakes, "email", "ocr", version="1.1.0")
    newer = dial(await another(lambda: only("email", "ocr", version="1.1.0")))
    assert await listed(newer) == ["ocr"]
    with pytest.raises(NotFound):
        await get(newer)
    await newer.install("orgs/hardpoint/capabilities/email")
    assert await listed(newer) == ["email", "ocr"]


async def test_one_that_is_disabled_stays_so_and_one_that_was_pinned_stays_pinned(
    another: Another, dial: Dial, both: tuple[Shipped, ...], fakes: Fakes
) -> None:
    client = dial(await another(lambda: both))
    await client.installations.DisableInstallation(pb.DisableInstallationRequest(name=EMAIL))
    pinned = pb.Installation(name="orgs/acme/installations/ocr", constraint="1.0.0")
    await client.installations.UpdateInstallation(
        pb.UpdateInstallationRequest(installation=pinned, update_mask={"paths": ["constraint"]})
    )
    publish(fakes, "email", "ocr", version="1.1.0")
    newer = dial(await another(lambda: only("email", "ocr", version="1.1.0")))
    email = await get(newer)
    assert email.release.endswith("/1.1.0")
    assert email.state == pb.INSTALLATION_STATE_DISABLED
    assert (await get(newer, "orgs/acme/installations/ocr")).release.endswith("/1.0.0")
    older = dial(await another(lambda: both))
    assert (await get(older)).release.endswith("/1.1.0"), "a process of the version before does not go back"


async def test_a_new_release_reaches_no_more_than_the_org_allowed(another: Another, dial: Dial, fakes: Fakes) -> None:
    publish(fakes, "email")
    await listed(dial(await another(lambda: only("email"))))
    wider = Asked(ASKS.permissions | {"file.read"})
    fakes.registry.add(release("email", "1.1.0", org=PRODUCT_ORG, asks=wider))
    email = await get(dial(await another(lambda: only("email", version="1.1.0"))))
    assert email.release.endswith("/1.1.0")
    assert email.ungranted == Authority(permissions=["file.read"])


async def test_an_installation_of_that_name_is_left_alone(another: Another, dial: Dial, fakes: Fakes) -> None:
    fakes.registry.add(release("email"))
    mine = await dial(await another()).install("orgs/acme/capabilities/email")
    publish(fakes, "email", "ocr")
    for version in ("1.0.0", "1.1.0"):
        publish(fakes, "email", "ocr", version=version)
        client = dial(await another(lambda version=version: only("email", "ocr", version=version)))
        assert await listed(client) == ["email", "ocr"]
        assert (await get(client)).release == mine.release
    with pytest.raises(AlreadyExists):
        await client.install("orgs/acme/capabilities/email")


async def test_settings_that_are_missing_are_asked_for_as_of_any_other(
    another: Another, dial: Dial, fakes: Fakes
) -> None:
    fakes.registry.add(release("email", org=PRODUCT_ORG, requirements=(API_KEY,)))
    client = dial(await another(lambda: only("email")))
    await client.create_agent()
    with pytest.raises(Conflict) as refused:
        await client.attach(EMAIL)
    assert refused.value.reason == "SETTINGS_MISSING"


@pytest.mark.parametrize("error", [Unavailable("away"), NotFound("release", "x")])
async def test_an_org_goes_without_while_the_registry_does_not_have_them(
    another: Another, dial: Dial, fakes: Fakes, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    publish(fakes, "email")

    async def refuse(_name: object) -> None:
        raise error

    client = dial(await another(lambda: only("email")))
    with monkeypatch.context() as patch:
        patch.setattr(fakes.registry, "release", refuse)
        assert await listed(client) == []
    assert await listed(client) == ["email"]
