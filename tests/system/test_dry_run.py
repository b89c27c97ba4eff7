"""A dry run of a call, and the call that is held to its plan: on a whole system, through the command line too."""

import json

import pytest

from hardpoint.runtime.v1 import agent_pb2, installation_pb2, run_pb2
from hardpoint_kit.documents import from_struct, from_value
from hardpoint_kit.errors import Conflict, NotFound, PermissionDenied

from .conftest import add_file
from .test_s01_create_and_call import run_cli

pytestmark = pytest.mark.jail
ORDERS = """
from hardpoint_sdk import action, capability

@capability(id="orders", name="Orders", version="VERSION", hosts=["upstream.test"],
    permissions=["network.http.get", "network.http.post"],
    config={"UNIT": {"type": "string"}, "API_KEY": {"type": "secret", "hosts": ["upstream.test"]}})
class Orders:
    @action
    async def order(self, input):
        price = (await self.fetch(input["url"] + "/price")).json()["price"]
        answer = await self.fetch(
            input["url"] + "/orders", method="POST", headers={"authorization": "Bearer " + self.config["API_KEY"]},
            json={"item": input["item"], "price": price, "unit": self.config["UNIT"]},
        )
        if "again" in answer.text:
            await self.fetch(input["url"] + "/orders", method="POST", json={"item": "another"})
        return {"status": answer.status}
"""


def source(version: str = "1.0.0") -> bytes:
    return ORDERS.replace("VERSION", version).encode()


async def test_a_call_writes_what_its_dry_run_has_shown(system, client, agent, org):
    said = {"answer": {"ok": True}}
    url = system.upstream.serve(lambda asked: (200, {"price": 3} if asked.method == "GET" else said["answer"]))
    installed = await add_file(
        client, agent, source(), "orders.py", secrets={"API_KEY": "key-4711-key"}, settings={"UNIT": "kg"}
    )
    given = {"url": url, "item": "tea"}

    dry = await client.call("helper", "orders.order", given, dry_run=True)
    assert [asked.method for asked in system.upstream.asked(url)] == ["GET"]
    assert from_value(dry.output) == {"status": 202}
    [effect] = dry.plan.effects
    assert (effect.service, effect.operation, effect.target) == (
        "fetch",
        "POST",
        url.removeprefix("https://") + "/orders",
    )
    arguments = from_struct(effect.arguments)
    assert arguments["headers"]["authorization"] == "Bearer secret:API_KEY"
    assert json.loads(arguments["body"]["text"]) == {"item": "tea", "price": 3, "unit": "kg"}
    run = await client.runs.GetRun(run_pb2.GetRunRequest(name=dry.run))
    assert (run.dry_run, run.plan) == (True, dry.plan.digest)
    name = f"{agent.name}/attachments/{installed}"
    attachment = await client.agents.GetAttachment(agent_pb2.GetAttachmentRequest(name=name))
    assert attachment.counters.execution_count == 0

    arguments = ["call", "helper", "orders.order", f"url={url}", "item=tea", "--dry-run"]
    said_there = await run_cli(system.cli_environment(org), *arguments)
    assert said_there["plan"]["digest"] == dry.plan.digest

    done = await client.call("helper", "orders.order", given, expect_plan=dry.plan.digest)
    assert (from_value(done.output), done.effects_left) == ({"status": 200}, 0)
    run = await client.runs.GetRun(run_pb2.GetRunRequest(name=done.run))
    assert (run.dry_run, run.plan) == (False, dry.plan.digest)
    posts = [asked for asked in system.upstream.asked(url) if asked.method == "POST"]
    assert [json.loads(asked.body)["price"] for asked in posts] == [3]
    assert posts[0].headers["authorization"] == "Bearer key-4711-key"

    said["answer"] = {"ok": "again"}
    with pytest.raises(PermissionDenied) as more:
        await client.call("helper", "orders.order", given, expect_plan=dry.plan.digest)
    assert more.value.reason == "EFFECT_NOT_PLANNED"
    assert more.value.metadata["expected"] == "nothing"
    assert len([asked for asked in system.upstream.asked(url) if asked.method == "POST"]) == 2

    with pytest.raises(NotFound) as unknown:
        await client.call("helper", "orders.order", given, expect_plan="sha256:0")
    assert unknown.value.reason == "PLAN_UNKNOWN"

    async def stale(**input: object) -> str:
        with pytest.raises(Conflict) as refused:
            await client.call("helper", "orders.order", {**given, **input}, expect_plan=dry.plan.digest)
        assert refused.value.reason == "PLAN_STALE"
        return refused.value.metadata["changed"]

    assert await stale(item="coffee") == "input"
    await client.set_secret(installed, "API_KEY", "another-4711-key")
    assert await stale() == "settings"
    anew = await client.call("helper", "orders.order", given, dry_run=True)
    assert anew.plan.digest != dry.plan.digest
    release = (await client.push(source("1.0.1"), "orders.py")).release
    await client.publish(release.name)
    newer = installation_pb2.Installation(name=f"{client.org}/installations/{installed}", constraint="1.0.1")
    update = installation_pb2.UpdateInstallationRequest(installation=newer)
    update.update_mask.paths.append("constraint")
    await client.installations.UpdateInstallation(update)
    assert await stale() == "release, settings"
    assert len([asked for asked in system.upstream.asked(url) if asked.method == "POST"]) == 2
