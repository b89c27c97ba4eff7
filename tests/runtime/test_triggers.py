"""Triggers: made, refused, changed, paused, listed, removed, each by and for its own org."""

import json
from dataclasses import replace

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from hardpoint.manifest.v1.manifest_pb2 import Verifier
from hardpoint.runtime.v1 import agent_pb2, trigger_pb2
from hardpoint_kit.documents import to_struct
from hardpoint_kit.errors import (
    AlreadyExists,
    Conflict,
    HardpointError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    StaleEtag,
)
from hardpoint_runtime.domain.releases import DeclaredTrigger
from hardpoint_runtime.domain.releases import Verifier as DeclaredVerifier
from hardpoint_runtime.domain.triggers import Asked
from runtime.conftest import AGENT, TOOL
from runtime.factories import release
from runtime.triggers import INPUT, NAME, SLACK, create, history, settled, slack_event


async def test_a_trigger_is_made_shown_changed_paused_and_removed(attached, clock):
    made = await create(attached, display_name="When a message comes")
    assert made.name == NAME
    assert made.url.startswith("/hooks/")
    assert len(made.url.rpartition("/")[2]) == 43
    assert made.installation == "orgs/acme/installations/weather"
    assert made.state == trigger_pb2.TRIGGER_STATE_ACTIVE
    assert await attached.triggers.GetTrigger(trigger_pb2.GetTriggerRequest(name=NAME)) == made
    listed = await attached.triggers.ListTriggers(trigger_pb2.ListTriggersRequest(parent=AGENT))
    assert list(listed.triggers) == [made]
    with pytest.raises(AlreadyExists):
        await create(attached)

    clock.move(seconds=1)
    wanted = trigger_pb2.Trigger(name=NAME, filter="event.type == 'x'", etag=made.etag)
    update = trigger_pb2.UpdateTriggerRequest(trigger=wanted, update_mask=FieldMask(paths=["filter"]))
    changed = await attached.triggers.UpdateTrigger(update)
    assert (changed.filter, changed.url, changed.display_name) == ("event.type == 'x'", made.url, made.display_name)
    with pytest.raises(StaleEtag):
        await attached.triggers.UpdateTrigger(update)
    update.trigger.etag = changed.etag
    update.trigger.schedule = "0 9 * * *"
    for path in ("action", "schedule"):
        update.update_mask.paths[:] = [path]
        with pytest.raises(InvalidArgument):
            await attached.triggers.UpdateTrigger(update)

    paused = await attached.triggers.PauseTrigger(trigger_pb2.PauseTriggerRequest(name=NAME))
    assert paused.state == trigger_pb2.TRIGGER_STATE_PAUSED
    with pytest.raises(Conflict):
        await attached.triggers.PauseTrigger(trigger_pb2.PauseTriggerRequest(name=NAME))
    await attached.triggers.ResumeTrigger(trigger_pb2.ResumeTriggerRequest(name=NAME))
    await attached.triggers.DeleteTrigger(trigger_pb2.DeleteTriggerRequest(name=NAME))
    with pytest.raises(NotFound):
        await attached.triggers.GetTrigger(trigger_pb2.GetTriggerRequest(name=NAME))
    done = [event for event in await attached.events() if event.startswith("trigger.")]
    verbs = ("create", "update", "pause", "resume", "delete")
    assert done == [f"trigger.{verb} {NAME}" for verb in verbs]


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"type": trigger_pb2.TRIGGER_TYPE_UNSPECIFIED}, "trigger.type"),
        ({"input": {"location": "${event.}"}}, "trigger.input"),
        ({"input": {"location": "${secrets.KEY}"}}, "trigger.input"),
        ({"filter": "file.constructor.constructor('return process')()"}, "trigger.filter"),
        ({"filter": "(" * 2000 + "true" + ")" * 2000}, "trigger.filter"),
        ({"filter": "event.text.matches('(a+)+$'"}, "trigger.filter"),
        ({"verifier": Verifier(kind="magic", secret="X")}, "trigger.verifier.kind"),
        ({"verifier": Verifier(kind="slack")}, "trigger.verifier.secret"),
        ({"verifier": Verifier(kind="hmac", secret="X")}, "trigger.verifier.header"),
        ({"verifier": Verifier(kind="hmac", secret="X", header="authorization")}, "trigger.verifier.header"),
        ({"allow_unsigned": True}, "trigger.allow_unsigned"),
        ({"type": trigger_pb2.TRIGGER_TYPE_SCHEDULE, "schedule": "61 * * * *"}, "schedule"),
        ({"type": trigger_pb2.TRIGGER_TYPE_SCHEDULE, "schedule": "* * * * * *"}, "schedule"),
        ({"type": trigger_pb2.TRIGGER_TYPE_SCHEDULE, "schedule": "R 1 * * *"}, "schedule"),
        ({"type": trigger_pb2.TRIGGER_TYPE_SCHEDULE, "schedule": "0 1 31 2 *"}, "schedule"),
        ({"type": trigger_pb2.TRIGGER_TYPE_SCHEDULE, "schedule": "0 9 * * *", "time_zone": "../../etc"}, "time_zone"),
        ({"type": trigger_pb2.TRIGGER_TYPE_EVENT, "event": "moon.full"}, "trigger.event"),
    ],
)
async def test_what_is_written_wrongly_is_refused_with_its_place(attached, wrong, place):
    with pytest.raises(InvalidArgument) as refused:
        await create(attached, **wrong)
    assert place in refused.value.violations


async def test_only_an_action_that_the_agent_may_call_has_triggers(attached):
    with pytest.raises(NotFound) as refused:
        await create(attached, action="weather.other")
    assert refused.value.reason == "ACTION_NOT_ATTACHED"
    with pytest.raises(NotFound):
        await create(attached, declared="weather.on-message")


async def test_a_declared_trigger_is_made_as_its_author_wrote_it(client, fakes):
    hook = DeclaredTrigger(
        "on-message", "webhook", "When a message comes", action="get-weather", verifier=DeclaredVerifier("slack", "KEY")
    )
    fakes.registry.add(replace(release(), triggers=(hook,)))
    await client.create_agent()
    await client.install()
    await client.attach()
    given = trigger_pb2.Trigger(declared="weather.on-message", input=to_struct(INPUT))
    made = await client.triggers.CreateTrigger(
        trigger_pb2.CreateTriggerRequest(parent=AGENT, trigger_id="hook", trigger=given)
    )
    assert (made.display_name, made.action) == ("When a message comes", TOOL)
    assert made.verifier == Verifier(kind="slack", secret="KEY")


@pytest.mark.parametrize(
    ("kind", "event", "filter", "wanted"),
    [
        ("slack", "message.channels", "", 'event.event.type == "message" && event.event.channel_type == "channel"'),
        ("slack", "app_mention", "event.x == 1", '(event.event.type == "app_mention") && (event.x == 1)'),
        ("github", "push", "", 'trigger.headers["x-github-event"] == "push"'),
        ("github", "issues.opened", "", 'trigger.headers["x-github-event"] == "issues" && event.action == "opened"'),
        ("standard-webhooks", "user.created", "", 'event.type == "user.created"'),
        ("hmac", "user.created", "", ""),
        ("slack", '" || true', "", ""),
        ("slack", "", "event.x == 1", "event.x == 1"),
    ],
)
def test_what_a_sender_calls_its_events_is_a_part_of_the_filter(kind, event, filter, wanted):
    declared = DeclaredTrigger("hook", "webhook", event=event, filter=filter, verifier=DeclaredVerifier(kind, "KEY"))
    assert Asked().over("weather", declared).filter == wanted
    assert Asked(filter="false").over("weather", declared).filter == "false"


async def test_of_a_declared_trigger_only_its_event_starts_a_run(client, fakes, deliver):
    hook = DeclaredTrigger("on-message", "webhook", event="message.channels", action="get-weather")
    fakes.registry.add(replace(release(), triggers=(hook,)))
    await client.create_agent()
    await client.install()
    await client.attach()
    made = await create(client, declared="weather.on-message", type=trigger_pb2.TRIGGER_TYPE_UNSPECIFIED, action="")
    for number, event in enumerate(
        [
            {"type": "app_mention", "text": "Rome"},
            {"type": "message", "channel_type": "im", "text": "Bergen"},
            {"type": "message", "channel_type": "channel", "text": "Oslo"},
        ]
    ):
        body = json.dumps({"type": "event_callback", "event_id": f"Ev{number}", "event": event}).encode()
        assert (await deliver(made, body)).status == 200
    await settled(client, "FILTERED", "FILTERED", "DELIVERED")
    assert [execution.input for execution in fakes.executor.executions] == [{"location": "Oslo"}]


async def test_what_a_sender_calls_its_events_counts_once_it_is_known_how_it_signs(client, fakes):
    hook = DeclaredTrigger("on-message", "webhook", event="message.channels")
    fakes.registry.add(replace(release(), triggers=(hook,)))
    await client.create_agent()
    await client.install()
    await client.attach()
    words = {"declared": "weather.on-message", "type": trigger_pb2.TRIGGER_TYPE_UNSPECIFIED, "verifier": Verifier()}
    with pytest.raises(InvalidArgument) as refused:
        await create(client, action="", **words)
    assert refused.value.violations == {"trigger.action": "is required: weather.on-message names none"}
    assert not (await create(client, **words)).filter
    signed = trigger_pb2.Trigger(name=NAME, verifier=SLACK)
    update = trigger_pb2.UpdateTriggerRequest(trigger=signed, update_mask=FieldMask(paths=["verifier"]))
    assert (await client.triggers.UpdateTrigger(update)).filter.startswith('event.event.type == "message"')
    update.update_mask.paths[:] = ["filter"]
    assert not (await client.triggers.UpdateTrigger(update)).filter


async def test_only_the_door_delivers_and_only_operators_see_addresses(attached, dial, server):
    await create(attached)
    request = trigger_pb2.DeliverRequest(token="x")
    request.receive_time.GetCurrentTime()
    with pytest.raises(PermissionDenied):
        await dial(server, role="operator").triggers.Deliver(request)
    viewer = dial(server, role="viewer")
    assert await history(viewer) == []
    for refused in (
        viewer.triggers.GetTrigger(trigger_pb2.GetTriggerRequest(name=NAME)),
        viewer.triggers.ListTriggers(trigger_pb2.ListTriggersRequest(parent=AGENT)),
        viewer.triggers.PauseTrigger(trigger_pb2.PauseTriggerRequest(name=NAME)),
    ):
        with pytest.raises(PermissionDenied):
            await refused
    stranger = dial(server, "other")
    with pytest.raises(NotFound):
        await stranger.triggers.GetTrigger(trigger_pb2.GetTriggerRequest(name=NAME))


async def test_the_database_keeps_orgs_apart(attached, deliver, query):
    await deliver(await create(attached), slack_event())
    await settled(attached, "DELIVERED")
    for table in ("triggers", "deliveries"):
        assert await query(f"SELECT count(*) FROM {table}", "acme") == [(1,)]
        assert await query(f"SELECT count(*) FROM {table}", "other") == [(0,)]


async def test_an_agent_that_is_removed_has_no_triggers(attached, deliver, query):
    hook = await create(attached)
    await deliver(hook, slack_event())
    await settled(attached, "DELIVERED")
    await attached.agents.DeleteAgent(agent_pb2.DeleteAgentRequest(name=AGENT))
    assert await query("SELECT (SELECT count(*) FROM triggers), (SELECT count(*) FROM deliveries)") == [(0, 0)]
    assert (await deliver(hook, slack_event())).status == 404


async def test_lists_come_in_pages(attached, deliver):
    hook = await create(attached)
    await create(attached, "other")
    for number in range(3):
        await deliver(hook, slack_event(event_id=f"Ev{number}"))
    first = await attached.triggers.ListTriggers(trigger_pb2.ListTriggersRequest(parent=AGENT, page_size=1))
    rest = await attached.triggers.ListTriggers(
        trigger_pb2.ListTriggersRequest(parent=AGENT, page_size=1, page_token=first.next_page_token)
    )
    assert [one.name[-5:] for one in (*first.triggers, *rest.triggers)] == ["/hook", "other"]
    newest = await attached.triggers.ListDeliveries(trigger_pb2.ListDeliveriesRequest(parent=NAME, page_size=2))
    oldest = await attached.triggers.ListDeliveries(
        trigger_pb2.ListDeliveriesRequest(parent=NAME, page_size=2, page_token=newest.next_page_token)
    )
    assert [one.provider_id for one in (*newest.deliveries, *oldest.deliveries)] == ["Ev2", "Ev1", "Ev0"]


async def test_a_write_that_is_repeated_is_answered_as_before(attached):
    first = await create(attached, request_id="once")
    assert await create(attached, request_id="once") == first
    with pytest.raises(HardpointError) as refused:
        await create(attached, "another", request_id="once")
    assert refused.value.reason == "REQUEST_ID_REUSED"
