"""Triggers and what comes to them: made, refused, deduplicated, filtered, run, tried again, dead, replayed."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from hardpoint.manifest.v1.manifest_pb2 import Verifier
from hardpoint.runtime.v1 import agent_pb2, run_pb2, trigger_pb2
from hardpoint_kit.documents import to_struct
from hardpoint_kit.errors import (
    ActionFailed,
    AlreadyExists,
    Conflict,
    HardpointError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    StaleEtag,
    Unavailable,
)
from hardpoint_runtime.domain.executions import Ended, Execution
from hardpoint_runtime.domain.releases import DeclaredTrigger, Effect
from hardpoint_runtime.domain.releases import Verifier as DeclaredVerifier
from runtime.conftest import AGENT, TOOL, Client, eventually
from runtime.factories import action, release
from runtime.fakes import Gate, failing, raising, succeed

NAME = f"{AGENT}/triggers/hook"
SLACK = Verifier(kind="slack", secret="SIGNING_SECRET")
INPUT = {"location": "${event.event.text}"}
Deliver = Callable[..., Awaitable[trigger_pb2.DeliverResponse]]


async def create(client: Client, trigger_id: str = "hook", request_id: str = "", **given: Any) -> trigger_pb2.Trigger:
    given.setdefault("type", trigger_pb2.TRIGGER_TYPE_WEBHOOK)
    given.setdefault("action", TOOL)
    given.setdefault("verifier", SLACK)
    given["input"] = to_struct(given.get("input", INPUT))
    request = trigger_pb2.CreateTriggerRequest(
        parent=AGENT, trigger_id=trigger_id, trigger=trigger_pb2.Trigger(**given), request_id=request_id
    )
    return await client.triggers.CreateTrigger(request)


async def history(client: Client, name: str = NAME) -> list[Any]:
    """What came, the oldest first."""
    listed = await client.triggers.ListDeliveries(trigger_pb2.ListDeliveriesRequest(parent=name))
    return list(reversed(listed.deliveries))


async def states(client: Client, name: str = NAME) -> list[str]:
    found = await history(client, name)
    return [trigger_pb2.DeliveryState.Name(one.state).removeprefix("DELIVERY_STATE_") for one in found]


async def settled(client: Client, *wanted: str, name: str = NAME) -> None:
    async def holds() -> bool:
        return await states(client, name) == list(wanted)

    try:
        await eventually(holds)
    except TimeoutError:
        assert await history(client, name) == wanted


def slack_event(text: str = "Oslo", event_id: str = "Ev1") -> bytes:
    return json.dumps({"type": "event_callback", "event_id": event_id, "event": {"text": text}}).encode()


@pytest.fixture
async def deliver(server, dial, clock) -> Deliver:
    """`await deliver(trigger, body)` is what the door asks of the runtime."""
    door = dial(server, "hardpoint", "door")

    async def deliver(trigger: Any, body: bytes = b"{}", **headers: str) -> trigger_pb2.DeliverResponse:
        token = trigger if isinstance(trigger, str) else trigger.url.rpartition("/")[2]
        given = {"content-type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
        request = trigger_pb2.DeliverRequest(token=token, body=body, headers=given)
        clock.move(milliseconds=5)  # names of deliveries sort by the millisecond
        request.receive_time.FromDatetime(clock.now())
        return await door.triggers.Deliver(request)

    return deliver


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
    update.update_mask.paths[:] = ["action"]
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


async def test_a_signed_event_runs_once_however_often_it_is_sent(attached, deliver, fakes):
    hook = await create(attached)
    assert (await deliver(hook, slack_event())).status == 200
    await settled(attached, "DELIVERED")
    assert (await deliver(hook, slack_event("Bergen"))).status == 200
    assert await states(attached) == ["DELIVERED", "DUPLICATE"]
    assert (await deliver(hook, slack_event("Bergen", "Ev2"))).status == 200
    await settled(attached, "DELIVERED", "DUPLICATE", "DELIVERED")
    first, again, _ = await history(attached)
    assert again.original == first.name
    assert [execution.input for execution in fakes.executor.executions] == [
        {"location": "Oslo"},
        {"location": "Bergen"},
    ]
    assert fakes.executor.executions[0].idempotency_key == "helper/hook/Ev1"
    settings, verifier, body = fakes.config.verified[0]
    assert (settings, verifier.secret, body) == ("orgs/acme/settings/weather", "SIGNING_SECRET", slack_event())
    runs = (await attached.runs.ListRuns(run_pb2.ListRunsRequest(parent="orgs/acme"))).runs
    assert {run.name for run in runs} == {one.run for one in await history(attached) if one.run}
    assert {run.subject for run in runs} == {NAME}


@pytest.mark.parametrize(
    "reason", ["SIGNATURE_WRONG", "SIGNATURE_TOO_OLD", "SIGNATURE_MISSING", "SIGNING_SECRET_MISSING"]
)
async def test_what_is_not_proved_is_401_without_a_word_and_in_the_audit_log(attached, deliver, fakes, reason):
    hook = await create(attached)
    fakes.config.unproved = reason
    answer = await deliver(hook, slack_event())
    assert (answer.status, answer.body) == (401, b"")
    (refused,) = await history(attached)
    assert (refused.reason, refused.provider_id, refused.run) == (reason, "", "")
    assert f"delivery.refuse {NAME}" in await attached.events()
    assert not fakes.executor.executions

    fakes.config.unproved = ""
    assert (await deliver(hook, slack_event())).status == 200
    await settled(attached, "REFUSED", "DELIVERED")


async def test_without_a_verifier_everything_is_refused_unless_somebody_allowed_it(attached, deliver):
    closed = await create(attached, verifier=Verifier(kind="none"))
    assert (await deliver(closed, slack_event())).status == 401
    (refused,) = await history(attached)
    assert refused.reason == "WEBHOOK_UNVERIFIED"
    await create(attached, "open", verifier=Verifier(kind="none"), allow_unsigned=True)
    name = f"{AGENT}/triggers/open"
    opened = await attached.triggers.GetTrigger(trigger_pb2.GetTriggerRequest(name=name))
    assert (await deliver(opened, slack_event())).status == 200
    await settled(attached, "DELIVERED", name=name)


async def upload_trigger(client: Client, **given: Any) -> trigger_pb2.Trigger:
    given = {"filter": "file.type == 'pdf' && file.name.contains('invoice')", **given}
    kind, wanted = trigger_pb2.TRIGGER_TYPE_EVENT, {"location": "${event.file.name}"}
    return await create(client, "files", type=kind, event="file.uploaded", verifier=Verifier(), input=wanted, **given)


async def test_an_upload_that_fulfils_the_filter_runs_once_and_another_starts_nothing(attached, another, fakes, clock):
    await another()
    trigger = await upload_trigger(attached)
    fakes.files.upload("orgs/acme/files/f1", "invoice-1.pdf", "application/pdf")
    await settled(attached, "DELIVERED", name=trigger.name)
    clock.move(seconds=1)
    fakes.files.upload("orgs/acme/files/f2", "photo.png", "image/png")
    fakes.files.upload("orgs/other/files/f3", "invoice-3.pdf", "application/pdf")
    await settled(attached, "DELIVERED", "FILTERED", name=trigger.name)
    ran, filtered = await history(attached, trigger.name)
    assert (ran.provider_id, filtered.provider_id) == ("orgs/acme/files/f1", "orgs/acme/files/f2")
    assert [execution.input for execution in fakes.executor.executions] == [{"location": "invoice-1.pdf"}]


async def test_uploads_are_heard_of_from_where_listening_ended(attached, another, fakes, query):
    trigger = await upload_trigger(attached, filter="")
    fakes.files.upload("orgs/acme/files/f1", "a.pdf", "application/pdf")
    await settled(attached, "DELIVERED", name=trigger.name)
    assert fakes.files.asked_after[0] == ""
    await another()

    async def heard() -> bool:
        return fakes.files.asked_after[1:] == ["1"]

    await eventually(heard)
    assert await query("SELECT cursor FROM uploads_heard") == [("1",)]


async def test_a_paused_trigger_hears_of_no_upload(attached, fakes):
    trigger = await upload_trigger(attached, filter="file.media_type == 'application/pdf'")
    await attached.triggers.PauseTrigger(trigger_pb2.PauseTriggerRequest(name=trigger.name))
    fakes.files.upload("orgs/acme/files/f1", "a.pdf", "application/pdf")
    await create(attached, "all", type=trigger_pb2.TRIGGER_TYPE_EVENT, event="file.uploaded", verifier=Verifier())
    fakes.files.upload("orgs/acme/files/f2", "b.pdf", "application/pdf")
    await eventually(lambda: came(attached, f"{AGENT}/triggers/all"))
    assert await states(attached, trigger.name) == []


async def came(client: Client, name: str) -> bool:
    return bool(await states(client, name))


async def test_an_unknown_token_is_404(attached, deliver, fakes):
    await create(attached)
    for token in ("x", "A" * 43, "", "../../etc/passwd", "\ud800".encode("utf-8", "replace").decode()):
        assert (await deliver(token or "0", slack_event())).status == 404
    assert not fakes.config.verified
    assert await states(attached) == []


async def test_a_sender_that_tries_the_address_is_answered_and_nothing_runs(attached, deliver, fakes):
    hook = await create(attached)
    trial = json.dumps({"type": "url_verification", "challenge": "3eZbrw1aB1"}).encode()
    fakes.config.unproved = "SIGNATURE_WRONG"
    assert (await deliver(hook, trial)).body == b""
    fakes.config.unproved = ""
    answer = await deliver(hook, trial)
    assert (answer.status, answer.body) == (200, b"3eZbrw1aB1")
    hub = await create(attached, "hub", verifier=Verifier(kind="github", secret="KEY"))
    assert (await deliver(hub, b'{"zen": "x"}', x_github_event="ping")).status == 200
    assert await states(attached, hub.name) == []
    assert not fakes.executor.executions


async def test_each_sender_names_its_deliveries_in_its_own_way(attached, deliver):
    hub = await create(attached, "hub", verifier=Verifier(kind="github", secret="K"), input={"location": "${event.a}"})
    std = await create(
        attached, "std", verifier=Verifier(kind="standard-webhooks", secret="K"), input={"location": "${event.a}"}
    )
    raw = await create(
        attached, "raw", verifier=Verifier(kind="hmac", secret="K", header="x-sig"), input={"location": "${event.a}"}
    )
    for _ in range(2):
        await deliver(hub, b'{"a": "x"}', x_github_delivery="72d3162e", x_github_event="push")
        await deliver(std, b'{"a": "x"}', webhook_id="msg_1")
        await deliver(raw, b'{"a": "x"}')
    await settled(attached, "DELIVERED", "DUPLICATE", name=hub.name)
    await settled(attached, "DELIVERED", "DUPLICATE", name=std.name)
    await settled(attached, "DELIVERED", "DELIVERED", name=raw.name)


async def test_what_does_not_fulfil_the_filter_is_kept_and_starts_nothing(attached, deliver, fakes):
    hook = await create(attached, filter="event.event.text.contains('Oslo')")
    await deliver(hook, slack_event("Bergen", "Ev1"))
    await deliver(hook, b'{"event_id": "Ev2"}')
    await deliver(hook, slack_event("Oslo", "Ev3"))
    await settled(attached, "FILTERED", "FILTERED", "DELIVERED")
    plain, without, _ = await history(attached)
    assert (plain.reason, without.reason) == ("", "MAPPING_MISSING")
    assert len(fakes.executor.executions) == 1


@pytest.mark.parametrize(
    "body",
    [b"{", b'{"a": NaN}', b'{"a": 1e999}', b"1" + b"0" * 400, b"\xff", b'{"a": "\\ud800"}', b"[" * 100_000, b"1" * 5000, b'{"a":' * 40 + b"1" + b"}" * 40],
)
async def test_what_cannot_be_read_is_400_and_in_the_history(attached, deliver, body):
    hook = await create(attached)
    assert (await deliver(hook, body)).status == 400
    (refused,) = await history(attached)
    assert refused.reason == "EVENT_UNREADABLE"


async def test_a_form_is_an_object_of_texts(attached, deliver, fakes):
    hook = await create(attached, input={"location": "${event.text}"})
    answer = await deliver(hook, b"command=%2Fweather&text=Oslo", content_type="application/x-www-form-urlencoded")
    assert answer.status == 200
    await settled(attached, "DELIVERED")
    assert fakes.executor.executions[0].input == {"location": "Oslo"}


async def test_a_paused_trigger_takes_nothing_and_the_sender_may_try_again(attached, deliver):
    hook = await create(attached)
    await attached.triggers.PauseTrigger(trigger_pb2.PauseTriggerRequest(name=NAME))
    answer = await deliver(hook, slack_event())
    assert (answer.status, answer.retry_after > 0) == (503, True)
    await attached.triggers.ResumeTrigger(trigger_pb2.ResumeTriggerRequest(name=NAME))
    await deliver(hook, slack_event())
    await settled(attached, "REFUSED", "DELIVERED")
    assert (await history(attached))[0].reason == "TRIGGER_PAUSED"


async def test_while_config_is_away_nothing_is_believed_and_nothing_lost(attached, deliver, fakes):
    hook = await create(attached)
    fakes.config.away = True
    with pytest.raises(Unavailable):
        await deliver(hook, slack_event())
    assert await states(attached) == []
    fakes.config.away = False
    await deliver(hook, slack_event())
    await settled(attached, "DELIVERED")


async def test_what_never_began_is_tried_again_later_and_then_is_dead(attached, deliver, fakes, clock):
    hook = await create(attached)
    fakes.executor.behave = raising(Unavailable("no executor can be reached", reason="NO_EXECUTOR"))
    await deliver(hook, slack_event())
    await settled(attached, "ACCEPTED")

    async def attempts(number: int) -> bool:
        (one,) = await history(attached)
        waits = one.state == trigger_pb2.DELIVERY_STATE_ACCEPTED
        return one.attempts == number and waits and one.reason == "NO_EXECUTOR"

    await eventually(lambda: attempts(1))
    for number in range(2, 6):
        clock.move(hours=1)
        await eventually(lambda number=number: attempts(number))
    clock.move(hours=1)
    await settled(attached, "DEAD")
    (dead,) = await history(attached)
    assert (dead.attempts, dead.reason) == (6, "NO_EXECUTOR")


@pytest.mark.parametrize(
    ("effect", "idempotent", "state"),
    [("READ", False, "ACCEPTED"), ("WRITE", False, "DEAD"), ("WRITE", True, "ACCEPTED")],
)
async def test_what_ran_is_repeated_only_when_that_does_no_harm(
    client, fakes, dial, server, deliver, effect, idempotent, state
):
    act = replace(action(), effect=Effect(effect), idempotent=idempotent)
    fakes.registry.add(release(actions=(act,)))
    await client.create_agent()
    await client.install()
    await client.attach()
    hook = await create(client)
    fakes.executor.behave = failing(Unavailable("the executor was lost while the action ran"))
    await deliver(hook, slack_event())

    async def tried() -> bool:
        (one,) = await history(client)
        return one.attempts == 1 and bool(one.run) and bool(one.reason)

    await eventually(tried)
    assert await states(client) == [state]


async def test_an_action_that_failed_by_itself_is_dead_at_once_and_can_be_replayed(attached, deliver, fakes, clock):
    hook = await create(attached)
    fakes.executor.behave = failing(ActionFailed("it threw", reason="USER_ERROR"))
    await deliver(hook, slack_event())
    await settled(attached, "DEAD")
    (dead,) = await history(attached)
    assert (dead.reason, dead.message, bool(dead.run)) == ("USER_ERROR", "it threw", True)
    fakes.executor.behave = succeed
    clock.move(seconds=1)
    replayed = await attached.triggers.ReplayDelivery(trigger_pb2.ReplayDeliveryRequest(name=dead.name))
    assert replayed.original == dead.name
    await settled(attached, "DEAD", "DELIVERED")
    first, second = fakes.executor.executions
    assert first.idempotency_key != second.idempotency_key, "a replay is meant to happen again"
    assert f"delivery.replay {dead.name}" in await attached.events()


async def test_a_past_event_runs_with_the_release_that_is_named(attached, deliver, fakes, clock):
    hook = await create(attached)
    await deliver(hook, slack_event())
    await settled(attached, "DELIVERED")
    (past,) = await history(attached)
    newer = release(version="2.0.0")
    fakes.registry.add(newer)
    clock.move(seconds=1)
    request = trigger_pb2.ReplayDeliveryRequest(name=past.name, release=str(newer.name))
    assert (await attached.triggers.ReplayDelivery(request)).release == str(newer.name)
    await settled(attached, "DELIVERED", "DELIVERED")
    assert [str(execution.release.name)[-5:] for execution in fakes.executor.executions] == ["1.0.0", "2.0.0"]
    request.release = "orgs/acme/capabilities/other/releases/1.0.0"
    with pytest.raises(InvalidArgument):
        await attached.triggers.ReplayDelivery(request)
    somebodys = release(version="3.0.0", org="evil")
    fakes.registry.add(somebodys)
    request.release = str(somebodys.name)
    clock.move(seconds=1)
    await attached.triggers.ReplayDelivery(request)
    await settled(attached, "DELIVERED", "DELIVERED", "DEAD")
    assert len(fakes.executor.executions) == 2


async def test_what_was_refused_or_sent_twice_cannot_be_replayed(attached, deliver, fakes):
    hook = await create(attached)
    await deliver(hook, slack_event())
    await deliver(hook, slack_event())
    fakes.config.unproved = "SIGNATURE_WRONG"
    await deliver(hook, slack_event())
    await settled(attached, "DELIVERED", "DUPLICATE", "REFUSED")
    for one in (await history(attached))[1:]:
        with pytest.raises(Conflict) as refused:
            await attached.triggers.ReplayDelivery(trigger_pb2.ReplayDeliveryRequest(name=one.name))
        assert refused.value.reason == "DELIVERY_NOT_KEPT"


@pytest.mark.parametrize("gone", ["paused", "detached"])
async def test_an_agent_that_may_not_call_has_dead_deliveries_with_the_reason(attached, deliver, gone):
    hook = await create(attached)
    if gone == "paused":
        await attached.agents.PauseAgent(agent_pb2.PauseAgentRequest(name=AGENT))
    else:
        await attached.detach()
    await deliver(hook, slack_event())
    await settled(attached, "DEAD")
    (dead,) = await history(attached)
    assert dead.reason == ("AGENT_PAUSED" if gone == "paused" else "ACTION_NOT_ATTACHED")


async def test_an_event_that_the_input_does_not_fit_is_dead_with_the_reason(attached, deliver):
    hook = await create(attached, input={"location": "${event.nothing}"})
    await deliver(hook, slack_event())
    await settled(attached, "DEAD")
    assert (await history(attached))[0].reason == "INPUT_INVALID"


async def test_one_org_that_sends_much_keeps_nobody_waiting(attached, deliver, dial, server, fakes, query):
    gate = Gate()
    fakes.executor.behave = gate
    hook = await create(attached)
    for number in range(10):
        await deliver(hook, slack_event(event_id=f"Ev{number}"))

    async def full() -> bool:
        return gate.running == 4

    await eventually(full)
    assert await query("SELECT count(*) FROM deliveries WHERE state = 'ACCEPTED'") == [(6,)]
    gate.released.set()
    await settled(attached, *["DELIVERED"] * 10)


async def test_a_flood_is_shed_and_what_was_accepted_runs(url, clock, fakes, serve, dial, weather, keys):
    from hardpoint_runtime.server import Options, assemble

    rates = {"runtime_trigger_deliveries_per_minute": 0.001, "runtime_org_deliveries_per_minute": 150}
    options = Options(runtime_database_url=url, **rates)
    server = await serve(assemble(options, clock, fakes.peers()))
    client, door = dial(server), dial(server, "hardpoint", "door")
    await client.create_agent()
    await client.install()
    await client.attach()
    flooded, other = await create(client), await create(client, "other")

    async def sent(to: trigger_pb2.Trigger, number: int) -> trigger_pb2.DeliverResponse:
        token = to.url.rpartition("/")[2]
        request = trigger_pb2.DeliverRequest(token=token, body=slack_event(event_id=f"Ev{number}"))
        request.receive_time.FromDatetime(clock.now())
        return await door.triggers.Deliver(request)

    answers = [await sent(flooded, number) for number in range(60)]
    assert [answer.status for answer in answers] == [200] * 10 + [429] * 50
    assert all(answer.retry_after > 0 for answer in answers[10:])
    assert (await sent(other, 1)).status == 200, "what is shed of one takes nothing from another"
    await settled(client, *["DELIVERED"] * 10)


async def test_forged_deliveries_do_not_fill_the_audit_log(attached, deliver, fakes, monkeypatch):
    hook = await create(attached)
    fakes.config.unproved = "SIGNATURE_WRONG"
    answers = [(await deliver(hook, slack_event())).status for _ in range(40)]
    assert set(answers) == {401}
    refused = [event for event in await attached.events() if event.startswith("delivery.refuse")]
    assert 10 <= len(refused) < 40


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


async def test_the_proof_of_a_delivery_is_not_kept(attached, deliver, query):
    hook = await create(attached)
    await deliver(hook, slack_event(), x_slack_signature="v0=abc", x_slack_request_timestamp="5", x_slack_retry_num="1")
    ((kept,),) = await query("SELECT headers FROM deliveries")
    assert kept == {"content-type": "application/json", "x-slack-request-timestamp": "5", "x-slack-retry-num": "1"}


async def test_an_agent_that_is_removed_has_no_triggers(attached, deliver, query):
    hook = await create(attached)
    await deliver(hook, slack_event())
    await settled(attached, "DELIVERED")
    await attached.agents.DeleteAgent(agent_pb2.DeleteAgentRequest(name=AGENT))
    assert await query("SELECT (SELECT count(*) FROM triggers), (SELECT count(*) FROM deliveries)") == [(0, 0)]
    assert (await deliver(hook, slack_event())).status == 404


async def test_what_a_defect_left_running_is_taken_up(attached, deliver, fakes, clock):
    hook = await create(attached)

    async def break_down(_execution: Execution) -> Ended:
        fakes.executor.behave = succeed
        raise AssertionError("a defect")

    fakes.executor.behave = break_down
    await deliver(hook, slack_event())
    await settled(attached, "RUNNING")
    clock.move(seconds=11)
    await settled(attached, "DELIVERED")


@pytest.mark.parametrize(
    ("effect", "begun", "state"),
    [("READ", True, "DELIVERED"), ("WRITE", False, "DELIVERED"), ("WRITE", True, "DEAD")],
)
async def test_what_a_dead_process_had_is_taken_up(client, fakes, deliver, query, clock, effect, begun, state):
    fakes.registry.add(release(actions=(replace(action(), effect=Effect(effect)),)))
    await client.create_agent()
    await client.install()
    await client.attach()
    hook = await create(client)
    await client.agents.PauseAgent(agent_pb2.PauseAgentRequest(name=AGENT))
    await deliver(hook, slack_event())
    await settled(client, "DEAD")
    await client.agents.ResumeAgent(agent_pb2.ResumeAgentRequest(name=AGENT))
    run = "orgs/acme/runs/0123456789ab-000000000000" if begun else ""
    past = (clock.now() - timedelta(seconds=1)).isoformat()
    of_the_dead = f"owner = 'dead', attempts = 1, run = '{run}', claimed_until = '{past}'"
    await query(f"UPDATE deliveries SET state = 'RUNNING', {of_the_dead}")
    await settled(client, state)
    (one,) = await history(client)
    assert one.reason == ("OUTCOME_UNKNOWN" if state == "DEAD" else "")
    assert len(fakes.executor.executions) == (0 if state == "DEAD" else 1)


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
