"""S16: Slack posts to a webhook. Its challenge, a good signature, the same event again, an old one, a forged one."""

import asyncio
import hashlib
import hmac
import json
import time

import httpx

from hardpoint.manifest.v1.manifest_pb2 import Verifier
from hardpoint.runtime.v1 import run_pb2, trigger_pb2
from hardpoint_client import Agent, Hardpoint
from hardpoint_kit.documents import to_struct

from .conftest import eventually, http_capability

SECRET = "system-slack-signing-secret-5b1e"


def signed(body: bytes, at: float, secret: str = SECRET) -> dict[str, str]:
    signature = hmac.new(secret.encode(), b"v0:%d:" % at + body, hashlib.sha256).hexdigest()
    return {
        "content-type": "application/json",
        "x-slack-request-timestamp": f"{int(at)}",
        "x-slack-signature": f"v0={signature}",
    }


def message(event_id: str, text: str = "hello") -> bytes:
    event = {"type": "message", "text": text}
    return json.dumps({"type": "event_callback", "event_id": event_id, "event": event}).encode()


async def webhook(client: Hardpoint, agent: Agent, installation: str, **given) -> trigger_pb2.Trigger:
    given.setdefault("verifier", Verifier(kind="slack", secret="SIGNING_SECRET"))
    await client.set_secret(installation, "SIGNING_SECRET", SECRET)
    trigger = trigger_pb2.Trigger(
        type=trigger_pb2.TRIGGER_TYPE_WEBHOOK,
        action="probe.get",
        input=to_struct({"said": "${event.event.text}"}),
        **given,
    )
    request = trigger_pb2.CreateTriggerRequest(parent=agent.name, trigger_id="on-message", trigger=trigger)
    return await client.triggers.CreateTrigger(request)


async def history(client: Hardpoint, trigger: trigger_pb2.Trigger) -> list[trigger_pb2.Delivery]:
    """What came, the oldest first."""
    listed = await client.triggers.ListDeliveries(trigger_pb2.ListDeliveriesRequest(parent=trigger.name, page_size=200))
    return list(reversed(listed.deliveries))


async def delivered(client: Hardpoint, trigger: trigger_pb2.Trigger, count: int) -> bool:
    states = [one.state for one in await history(client, trigger)]
    return states.count(trigger_pb2.DELIVERY_STATE_DELIVERED) == count


def asking(url: str) -> dict[str, object]:
    said = {"name": "said", "type": "string", "required": True}
    return http_capability(url, integration={"params": {"said": "${said}"}}, action={"inputs": [said]})


async def test_slack_posts_to_a_webhook(system, client, agent, add):
    url = system.upstream.serve((200, {"ok": True}))
    trigger = await webhook(client, agent, await add(asking(url)))
    assert trigger.url.startswith(f"{system.deployment.door_url}/hooks/")
    now = time.time()
    async with httpx.AsyncClient() as slack:
        trial = json.dumps({"type": "url_verification", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmd"}).encode()
        answer = await slack.post(trigger.url, content=trial, headers=signed(trial, now))
        assert (answer.status_code, answer.text) == (200, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmd")
        forged = await slack.post(trigger.url, content=trial, headers=signed(trial, now, "guessed"))
        assert (forged.status_code, forged.text) == (401, "")

        event = message("Ev01")
        assert (await slack.post(trigger.url, content=event, headers=signed(event, now))).status_code == 200
        await eventually(lambda: delivered(client, trigger, 1), seconds=15)
        assert (await slack.post(trigger.url, content=event, headers=signed(event, now))).status_code == 200

        late = message("Ev02")
        old = await slack.post(trigger.url, content=late, headers=signed(late, now - 600))
        wrong = await slack.post(trigger.url, content=late, headers=signed(late, now, "guessed"))
        assert [(old.status_code, old.text), (wrong.status_code, wrong.text)] == [(401, ""), (401, "")]
        assert (await slack.post(f"{trigger.url}x", content=event, headers=signed(event, now))).status_code == 404

    runs = (await client.runs.ListRuns(run_pb2.ListRunsRequest(parent=client.org))).runs
    assert [run.state for run in runs] == [run_pb2.RUN_STATE_SUCCEEDED]
    assert [asked.query for asked in system.upstream.asked(url)] == [{"said": "hello"}]
    came = [
        (trigger_pb2.DeliveryState.Name(one.state).removeprefix("DELIVERY_STATE_"), one.reason)
        for one in await history(client, trigger)
    ]
    assert came == [
        ("REFUSED", "SIGNATURE_WRONG"),
        ("DELIVERED", ""),
        ("DUPLICATE", ""),
        ("REFUSED", "SIGNATURE_TOO_OLD"),
        ("REFUSED", "SIGNATURE_WRONG"),
    ]
    events = (await client.events("runtime", resource=trigger.name)).events
    refused = [event.facts["reason"] for event in events if event.action == "delivery.refuse"]
    assert refused == ["SIGNATURE_WRONG", "SIGNATURE_TOO_OLD", "SIGNATURE_WRONG"]
    assert SECRET not in system.deployment.log()


async def test_a_sender_of_its_own_signs_when(system, client, agent, add):
    url = system.upstream.serve((200, {"ok": True}))
    verifier = Verifier(
        kind="hmac",
        secret="SIGNING_SECRET",
        header="Shop-Signature",
        id_header="Shop-Delivery",
        timestamp_header="Shop-Timestamp",
    )
    trigger = await webhook(client, agent, await add(asking(url)), verifier=verifier)
    body, now = message("unused"), int(time.time())

    def sent(when: int | str, named: str = "one", at: int | None = None) -> dict[str, str]:
        signature = hmac.new(SECRET.encode(), b"%d." % (at or now) + body, hashlib.sha256).hexdigest()
        said = {"shop-signature": signature, "shop-timestamp": str(when), "shop-delivery": named}
        return {name: text for name, text in said.items() if text}

    deliveries = [
        (sent(now), 200, "DELIVERED"),
        (sent(now), 200, "DUPLICATE"),
        (sent(now, "another"), 200, "DUPLICATE"),
        (sent(now, ""), 400, "DELIVERY_ID_MISSING"),
        (sent(now - 600, at=now - 600), 401, "SIGNATURE_TOO_OLD"),
        (sent(now + 600, at=now + 600), 401, "SIGNATURE_TOO_OLD"),
        (sent(now - 1), 401, "SIGNATURE_WRONG"),
        (sent(""), 401, "SIGNATURE_MISSING"),
        (sent("yesterday"), 401, "SIGNATURE_MISSING"),
    ]
    async with httpx.AsyncClient() as shop:
        answers = [await shop.post(trigger.url, content=body, headers=headers) for headers, _, _ in deliveries]
    assert [answer.status_code for answer in answers] == [status for _, status, _ in deliveries]
    await eventually(lambda: delivered(client, trigger, 1), seconds=15)
    came = [
        one.reason or trigger_pb2.DeliveryState.Name(one.state).removeprefix("DELIVERY_STATE_")
        for one in await history(client, trigger)
    ]
    assert came == [state for _, _, state in deliveries]


async def test_what_is_posted_badly_does_not_come_through(system, client, agent, add):
    trigger = await webhook(client, agent, await add(asking(system.upstream.serve((200, {"ok": True})))))
    event = message("Ev01")
    headers = signed(event, time.time())
    async with httpx.AsyncClient() as sender:
        large = await sender.post(trigger.url, content=b"x" * ((1 << 20) + 1), headers=headers)
        assert large.status_code == 413
        twice = [*headers.items(), ("X-Slack-Signature", "v0=00")]
        assert (await sender.post(trigger.url, content=event, headers=twice)).status_code == 400
        assert (await sender.get(trigger.url)).status_code == 405
        for path in ("/", "/hooks/", "/hooks", "/metrics", "/hooks/a/b", "/hooks/%2e%2e%2f"):
            assert (await sender.post(system.deployment.door_url + path, content=event)).status_code == 404
    assert await history(client, trigger) == []


async def test_killed_between_the_answer_and_the_run_nothing_is_lost(system, client, agent, add):
    url = system.upstream.serve((200, {"ok": True}))
    trigger = await webhook(client, agent, await add(asking(url)))
    accepted: list[str] = []
    limits = httpx.Limits(max_connections=8)

    async with httpx.AsyncClient(limits=limits, timeout=30) as slack:

        async def send(number: int) -> None:
            event = message(f"Ev{number:03}", f"number {number}")
            try:
                answer = await slack.post(trigger.url, content=event, headers=signed(event, time.time()))
            except httpx.HTTPError:
                return  # the process is being killed
            assert answer.status_code in (200, 429, 503)
            if answer.status_code == 200:
                accepted.append(f"Ev{number:03}")

        sending = asyncio.gather(*(send(number) for number in range(90)))
        await eventually(_at_least(accepted, 20), seconds=30)
        await system.kill("runtime")
        await sending

    async def all_ran() -> bool:
        found = await history(client, trigger)
        done = {one.provider_id for one in found if one.state == trigger_pb2.DELIVERY_STATE_DELIVERED}
        return set(accepted) <= done

    assert len(accepted) >= 20
    await eventually(all_ran, seconds=60)
    said = {asked.query["said"] for asked in system.upstream.asked(url)}
    assert said >= {f"number {int(event_id[2:])}" for event_id in accepted}


def _at_least(found: list[str], count: int):
    async def holds() -> bool:
        return len(found) >= count

    return holds
