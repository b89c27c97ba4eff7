"""What the door takes: signed posts of a webhook, over HTTP, each in the database before it is answered.

Its filter lets none of them run, so that what is taken is not measured beside what runs.
"""

import hashlib
import hmac
import itertools
import json
import time

import httpx

from bench.capabilities import WEATHER
from bench.deployment import Measured
from bench.measure import Probe, at_once, one_by_one
from bench.report import Report
from hardpoint.manifest.v1.manifest_pb2 import Verifier
from hardpoint.runtime.v1 import trigger_pb2
from hardpoint_kit.documents import to_struct

TURNS = 200
CALLERS = (8, 32)
TIMEOUT_SECONDS = 30.0
_SECRET = "bench-signing-secret-51d0"


async def webhook(run: Measured, report: Report, echo: Probe) -> None:
    """Posts one after the other, turn by turn with echoes; then from several senders."""
    url = await _made(run)
    numbers = itertools.count()
    limits = httpx.Limits(max_connections=max(CALLERS), max_keepalive_connections=max(CALLERS))
    async with httpx.AsyncClient(limits=limits, timeout=TIMEOUT_SECONDS, trust_env=False) as sender:

        async def accept() -> None:
            event = {"type": "event_callback", "event_id": f"Ev{next(numbers)}", "event": {"type": "message"}}
            body = json.dumps(event).encode()
            answer = await sender.post(url, content=body, headers=_signed(body))
            if answer.status_code != 200:
                raise RuntimeError(f"the door answered {answer.status_code}")

        probes: dict[str, Probe] = {"echo_beside_webhook": echo, "webhook.accept": accept}
        await one_by_one(probes, turns=20)
        times = await one_by_one(probes, TURNS)
        rated = [(f"{name}.rate_{callers}", probe, callers) for callers in CALLERS for name, probe in probes.items()]
        rates = await at_once({name: (probe, callers) for name, probe, callers in rated}, turns=2, seconds=1.0)
    report.heading("a signed webhook, kept, not run")
    for name, taken in times.items():
        beside = None if name == "echo_beside_webhook" else "echo_beside_webhook"
        report.add(f"{name}.p50", taken.p50, "ms", beside and f"{beside}.p50")
        report.add(f"{name}.p99", taken.p99, "ms", beside and f"{beside}.p99")
    for name, probe, callers in rated:
        beside = None if probe is echo else f"echo_beside_webhook.rate_{callers}"
        report.add(name, rates[name], "calls/s", beside)


async def _made(run: Measured) -> str:
    """The address of a webhook of the http action; its installation has the signing secret."""
    installation = run.settings["http"].rpartition("/")[2]
    await run.client.set_secret(installation, "SIGNING_SECRET", _SECRET)
    trigger = trigger_pb2.Trigger(
        type=trigger_pb2.TRIGGER_TYPE_WEBHOOK,
        action="weather-lookup.get-weather",
        input=to_struct(WEATHER),
        filter="event.event.type == 'nothing of the kind'",
        verifier=Verifier(kind="slack", secret="SIGNING_SECRET"),
    )
    request = trigger_pb2.CreateTriggerRequest(parent=run.agent.name, trigger_id="on-message", trigger=trigger)
    return (await run.client.triggers.CreateTrigger(request)).url


def _signed(body: bytes) -> dict[str, str]:
    at = int(time.time())
    signature = hmac.new(_SECRET.encode(), b"v0:%d:" % at + body, hashlib.sha256).hexdigest()
    return {
        "content-type": "application/json",
        "x-slack-request-timestamp": str(at),
        "x-slack-signature": f"v0={signature}",
    }
