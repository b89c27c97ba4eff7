"""Attachments: what makes an installation callable by an agent, and which one is called when several offer the same."""

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from hardpoint.runtime.v1 import agent_pb2, installation_pb2
from hardpoint_kit.errors import AlreadyExists, Conflict, InvalidArgument, NotFound, StaleEtag
from hardpoint_runtime.domain.releases import Release
from runtime.conftest import AGENT, ATTACHMENT, INSTALLATION, TOOL, Client, Fakes
from runtime.factories import API_KEY, UNITS, release


async def update(client: Client, attachment: str = ATTACHMENT, *paths: str, **fields: Any) -> agent_pb2.Attachment:
    return await client.agents.UpdateAttachment(
        agent_pb2.UpdateAttachmentRequest(
            attachment=agent_pb2.Attachment(name=attachment, **fields), update_mask=FieldMask(paths=paths)
        )
    )


async def test_attach_then_call_then_detach(client: Client, weather: Release) -> None:
    await client.create_agent()
    await client.install()
    assert await client.tools() == []
    made = await client.attach(priority=5)
    assert (made.name, made.installation, made.release) == (ATTACHMENT, INSTALLATION, str(weather.name))
    assert (made.enabled, made.priority) == (True, 5)
    assert await client.agents.GetAttachment(agent_pb2.GetAttachmentRequest(name=ATTACHMENT)) == made
    assert await client.tools() == [TOOL]
    await client.call()
    await client.detach()
    assert await client.tools() == []
    with pytest.raises(NotFound, match=r"weather was detached at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$") as refused:
        await client.call()
    assert refused.value.reason == "ACTION_NOT_ATTACHED"
    await client.attach()
    await client.detach()
    with pytest.raises(NotFound, match="weather was detached at "):
        await client.call()
    assert f"capability.attach {ATTACHMENT}" in await client.events()
    assert f"capability.detach {ATTACHMENT}" in await client.events()


async def test_an_attachment_is_made_with_what_somebody_has_to_approve(client: Client, weather: Release) -> None:
    await client.create_agent()
    await client.install()
    with pytest.raises(NotFound) as misspelt:
        await client.attach(require_approval=["get-wether"])
    assert misspelt.value.fix == "did you mean get-weather?"
    made = await client.attach(require_approval=["get-weather"])
    assert await client.agents.GetAttachment(agent_pb2.GetAttachmentRequest(name=ATTACHMENT)) == made
    with pytest.raises(NotFound):
        await update(client, ATTACHMENT, "require_approval", require_approval=["get-wether"])
    assert await client.agents.GetAttachment(agent_pb2.GetAttachmentRequest(name=ATTACHMENT)) == made
    assert not (await update(client, ATTACHMENT, "require_approval")).require_approval


async def test_missing_settings_are_named_with_the_command_that_fixes_them(client: Client, fakes: Fakes) -> None:
    fakes.registry.add(release(requirements=(API_KEY, UNITS)))
    await client.create_agent()
    await client.install()
    with pytest.raises(Conflict) as refused:
        await client.attach()
    assert refused.value.reason == "SETTINGS_MISSING"
    assert refused.value.metadata["keys"] == "API_KEY"
    assert refused.value.fix == "hardpoint secret set weather API_KEY"
    fakes.config.keys["orgs/acme/settings/weather"] = {"API_KEY"}
    await client.attach()
    assert await client.tools() == [TOOL]


async def test_what_is_not_there_is_not_attached(client: Client, weather: Release) -> None:
    await client.create_agent()
    with pytest.raises(NotFound):
        await client.attach()
    await client.install()
    with pytest.raises(NotFound):
        await client.attach(agent="orgs/acme/agents/nobody")
    with pytest.raises(NotFound):
        await client.attach("orgs/umbrella/installations/weather")
    await client.attach()
    with pytest.raises(AlreadyExists) as refused:
        await client.attach()
    assert "detach it" in refused.value.fix


async def test_a_disabled_installation_is_neither_attached_nor_called(attached: Client) -> None:
    disable = installation_pb2.DisableInstallationRequest(name=INSTALLATION)
    shown = await attached.installations.DisableInstallation(disable)
    assert shown.state == installation_pb2.INSTALLATION_STATE_DISABLED
    assert await attached.tools() == []
    with pytest.raises(NotFound):
        await attached.call()
    await attached.create_agent("other")
    with pytest.raises(Conflict) as refused:
        await attached.attach(agent="orgs/acme/agents/other")
    assert refused.value.reason == "INSTALLATION_DISABLED"
    with pytest.raises(Conflict) as refused:
        await attached.installations.DisableInstallation(disable)
    assert (refused.value.message, refused.value.fix) == (
        f"installation {INSTALLATION} is DISABLED already",
        "nothing is left to be done",
    )
    await attached.installations.EnableInstallation(installation_pb2.EnableInstallationRequest(name=INSTALLATION))
    assert await attached.tools() == [TOOL]


async def test_an_attachment_is_switched_off_and_on(attached: Client) -> None:
    off = await update(attached, ATTACHMENT, "enabled", enabled=False)
    assert not off.enabled
    assert await attached.tools() == []
    with pytest.raises(NotFound):
        await attached.call()
    with pytest.raises(InvalidArgument):
        await update(attached, ATTACHMENT, "release")
    for priority in (-1001, 1001):
        with pytest.raises(InvalidArgument, match="priority"):
            await update(attached, ATTACHMENT, "priority", priority=priority)
    await update(attached, ATTACHMENT, "enabled", enabled=True, etag=off.etag)
    with pytest.raises(StaleEtag):
        await update(attached, ATTACHMENT, "enabled", enabled=True, etag=off.etag)
    assert await attached.tools() == [TOOL]


async def test_of_two_that_offer_the_same_action_the_higher_one_is_called(attached: Client, fakes: Fakes) -> None:
    fakes.registry.add(release(org="publisher", version="3.0.0"))
    await attached.install("orgs/publisher/capabilities/weather", installation_id="public")
    await attached.attach("orgs/acme/installations/public")
    assert await attached.tools() == []
    with pytest.raises(Conflict) as refused:
        await attached.call()
    assert refused.value.reason == "ACTION_AMBIGUOUS"
    assert "orgs/acme/installations/public" in refused.value.message

    await update(attached, f"{AGENT}/attachments/public", "priority", priority=1)
    assert await attached.tools() == [TOOL]
    assert (await attached.call()).release == "orgs/publisher/capabilities/weather/releases/3.0.0"
    await update(attached, ATTACHMENT, "priority", priority=2)
    assert (await attached.call()).release == "orgs/acme/capabilities/weather/releases/1.0.0"


async def test_attachments_are_listed_with_what_they_were_used(attached: Client) -> None:
    await attached.install(installation_id="other")
    await attached.attach("orgs/acme/installations/other", priority=-1)
    await attached.call()
    listed = await attached.agents.ListAttachments(agent_pb2.ListAttachmentsRequest(parent=AGENT))
    assert [shown.name.rpartition("/")[2] for shown in listed.attachments] == ["other", "weather"]
    assert [shown.counters.execution_count for shown in listed.attachments] == [0, 1]
    with pytest.raises(NotFound):
        await attached.agents.ListAttachments(agent_pb2.ListAttachmentsRequest(parent="orgs/acme/agents/nobody"))
