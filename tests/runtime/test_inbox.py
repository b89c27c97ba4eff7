"""What is posted to a webhook: proved or refused, deduplicated, filtered, shed."""

import asyncio
import json

import pytest

from hardpoint.manifest.v1.manifest_pb2 import Verifier
from hardpoint.runtime.v1 import run_pb2, trigger_pb2
from hardpoint_kit.errors import (
    Unavailable,
)
from runtime.conftest import AGENT, eventually
from runtime.triggers import NAME, create, history, settled, slack_event, states


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
    await settled(attached, "DELIVERED", "DUPLICATE", name=raw.name)


NAMED = Verifier(kind="hmac", secret="K", header="x-sig", id_header="X-Delivery-Id")
TIMED = Verifier(kind="hmac", secret="K", header="x-sig", timestamp_header="x-time")
BOTH = Verifier(kind="hmac", secret="K", header="x-sig", id_header="x-delivery-id", timestamp_header="x-time")
A, B, NOON, LATER = {"x_delivery_id": "a"}, {"x_delivery_id": "b"}, {"x_time": "100"}, {"x_time": "101"}


@pytest.mark.parametrize(
    ("verifier", "first", "second", "state"),
    [
        (NAMED, A, A, "DUPLICATE"),
        (NAMED, A, B, "DELIVERED"),  # of senders whose bodies say neither what nor when
        (TIMED, NOON, NOON, "DUPLICATE"),
        (TIMED, NOON, LATER, "DELIVERED"),
        (BOTH, A | NOON, A | LATER, "DUPLICATE"),  # sent again, and signed again
        (BOTH, A | NOON, B | NOON, "DUPLICATE"),  # recorded, and sent under another name, which nobody signed
        (BOTH, A | NOON, B | LATER, "DELIVERED"),
    ],
)
async def test_a_plain_hmac_is_known_again_by_its_id_and_by_what_is_signed(
    attached, deliver, verifier, first, second, state
):
    hook = await create(attached, verifier=verifier, input={"location": "x"})
    for headers in (first, second):
        assert (await deliver(hook, b"{}", **headers)).status == 200
    await settled(attached, "DELIVERED", state)
    one, again = await history(attached)
    assert again.original == (one.name if state == "DUPLICATE" else "")


async def test_signed_bytes_are_another_delivery_after_a_quarter_of_an_hour(attached, deliver, fakes, clock):
    raw = await create(attached, verifier=Verifier(kind="hmac", secret="K", header="x-sig"), input={"location": "x"})
    for minutes in (0, 14, 2, 14):
        clock.move(minutes=minutes)
        await deliver(raw, b"{}")
    await settled(attached, "DELIVERED", "DUPLICATE", "DELIVERED", "DUPLICATE")
    keys = [execution.idempotency_key for execution in fakes.executor.executions]
    assert len(set(keys)) == 2, "what is new has an effect of its own"
    other = await create(attached, "other", verifier=TIMED, input={"location": "x"})
    await deliver(other, b"{}")
    await settled(attached, "DELIVERED", name=other.name)


async def test_what_was_refused_may_be_sent_again(attached, deliver):
    raw = await create(attached, verifier=Verifier(kind="hmac", secret="K", header="x-sig"), input={"location": "x"})
    await attached.triggers.PauseTrigger(trigger_pb2.PauseTriggerRequest(name=NAME))
    assert (await deliver(raw, b"{}")).status == 503
    await attached.triggers.ResumeTrigger(trigger_pb2.ResumeTriggerRequest(name=NAME))
    assert (await deliver(raw, b"{}")).status == 200
    await settled(attached, "REFUSED", "DELIVERED")


async def test_the_same_bytes_at_the_same_time_run_once(attached, deliver):
    raw = await create(attached, verifier=Verifier(kind="hmac", secret="K", header="x-sig"), input={"location": "x"})
    said = await asyncio.gather(*(deliver(raw, b"{}") for _ in range(8)))
    assert {one.status for one in said} == {200}

    async def settled() -> bool:
        return sorted(await states(attached)) == ["DELIVERED", *["DUPLICATE"] * 7]

    await eventually(settled)


async def test_a_delivery_without_the_id_that_its_sender_gives_is_refused(attached, deliver):
    """Who took it away would have it run once more."""
    named = await create(attached, verifier=NAMED, input={"location": "x"})
    assert (await deliver(named, b"{}")).status == 400
    assert (await deliver(named, b"{}", x_delivery_id="")).status == 400
    refused, _ = await history(attached)
    assert (refused.reason, refused.message) == ("DELIVERY_ID_MISSING", "x-delivery-id is not there")


async def test_what_nobody_signs_is_never_known_again(attached, deliver):
    opened = await create(attached, verifier=Verifier(kind="none"), allow_unsigned=True, input={"location": "x"})
    for _ in range(2):
        await deliver(opened, b"{}")
    await settled(attached, "DELIVERED", "DELIVERED")


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
    [
        b"{",
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b"1" + b"0" * 400,
        b"\xff",
        b'{"a": "\\ud800"}',
        b"[" * 100_000,
        b"1" * 5000,
        b'{"a":' * 40 + b"1" + b"}" * 40,
    ],
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


@pytest.fixture
def flooded(url, clock, fakes, serve, dial, weather):
    """`await flooded(per_trigger=.., per_org=..)` is an admin and a sender of a runtime that takes so much a minute."""
    from hardpoint_runtime.server import Options, assemble

    async def flooded(*, per_trigger: float, per_org: float):
        rates = {
            "runtime_trigger_deliveries_per_minute": per_trigger,
            "runtime_org_deliveries_per_minute": per_org,
        }
        server = await serve(assemble(Options(runtime_database_url=url, **rates), clock, fakes.peers()))
        client, door = dial(server), dial(server, "hardpoint", "door")
        await client.create_agent()
        await client.install()
        await client.attach()

        async def sent(to: trigger_pb2.Trigger, number: int) -> trigger_pb2.DeliverResponse:
            token = to.url.rpartition("/")[2]
            request = trigger_pb2.DeliverRequest(token=token, body=slack_event(event_id=f"Ev{number}"))
            request.receive_time.FromDatetime(clock.now())
            return await door.triggers.Deliver(request)

        return client, sent

    return flooded


async def test_a_flood_is_shed_and_what_was_accepted_runs(flooded):
    client, sent = await flooded(per_trigger=0.001, per_org=150)
    hook, other = await create(client), await create(client, "other")
    answers = [await sent(hook, number) for number in range(60)]
    assert [answer.status for answer in answers] == [200] * 10 + [429] * 50
    assert all(answer.retry_after > 0 for answer in answers[10:])
    assert (await sent(other, 1)).status == 200, "what is shed of one takes nothing from another"
    await settled(client, *["DELIVERED"] * 10)


async def test_a_flood_over_many_addresses_is_shed_for_their_org(flooded):
    client, sent = await flooded(per_trigger=150, per_org=0.001)
    hooks = [await create(client, f"hook{number}") for number in range(3)]
    answers = [await sent(hook, number) for number in range(5) for hook in hooks]
    assert [answer.status for answer in answers] == [200] * 10 + [429] * 5
    assert all(answer.retry_after > 0 for answer in answers[10:])


async def test_forged_deliveries_do_not_fill_the_audit_log(attached, deliver, fakes, monkeypatch):
    hook = await create(attached)
    fakes.config.unproved = "SIGNATURE_WRONG"
    answers = [(await deliver(hook, slack_event())).status for _ in range(40)]
    assert set(answers) == {401}
    refused = [event for event in await attached.events() if event.startswith("delivery.refuse")]
    assert 10 <= len(refused) < 40


async def test_the_proof_of_a_delivery_is_not_kept(attached, deliver, query):
    hook = await create(attached)
    await deliver(hook, slack_event(), x_slack_signature="v0=abc", x_slack_request_timestamp="5", x_slack_retry_num="1")
    ((kept,),) = await query("SELECT headers FROM deliveries")
    assert kept == {"content-type": "application/json", "x-slack-request-timestamp": "5", "x-slack-retry-num": "1"}
    other = await create(attached, "other", verifier=Verifier(kind="hmac", secret="SIGNING_SECRET", header="x-proof"))
    await deliver(other, slack_event(), x_proof="abc")
    ((kept,),) = await query("SELECT headers FROM deliveries WHERE trigger = 'other'")
    assert kept == {"content-type": "application/json"}
