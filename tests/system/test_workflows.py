"""S07, S08 and S15 on a whole Hardpoint: workflows as people write them, over real requests, killed on the way."""

import asyncio
import json
import threading
import uuid

import pytest
from demo.upstreams import Asked, upstream

from hardpoint.runtime.v1 import agent_pb2, run_pb2
from hardpoint_client import Agent, Hardpoint, Login
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.documents import from_value, to_struct

from .conftest import Programmable, add_file, http_capability, new_deployment, remove

ENDED = {run_pb2.RUN_STATE_SUCCEEDED, run_pb2.RUN_STATE_FAILED, run_pb2.RUN_STATE_CANCELLED}


def effect(id: str, url: str, **integration: object) -> dict[str, object]:
    """A capability whose action `get` posts to a URL."""
    capability = http_capability(url, integration={"method": "POST", **integration}, id=id)
    capability["actions"] = [{"id": "get", "name": "Do it"}]
    return capability


def orders(*steps: dict[str, object], **workflow: object) -> dict[str, object]:
    """A workflow of these steps."""
    return {
        "id": "orders",
        "name": "Orders",
        "version": "1.0.0",
        "description": "What becomes of an order",
        "type": "workflow",
        "permissions": ["network.http.post"],
        "hosts": ["upstream.test"],
        "workflow": {"steps": list(steps), **workflow},
    }


async def start(client: Hardpoint, agent: Agent, **value: object) -> run_pb2.Run:
    request = run_pb2.StartRunRequest(
        agent=agent.name, action="orders.run", input=to_struct(value), request_id=uuid.uuid4().hex
    )
    return await client.runs.StartRun(request)


async def until(client: Hardpoint, run: str, *states: int) -> run_pb2.Run:
    """Follow a run, over streams that break, until it is in one of the states."""
    wanted = set(states) or ENDED
    async with asyncio.timeout(60):
        while True:
            try:
                async for change in client.runs.WatchRun(run_pb2.WatchRunRequest(name=run)):
                    if change.run.state in wanted:
                        return await client.runs.GetRun(run_pb2.GetRunRequest(name=run))
            except Exception:
                await asyncio.sleep(0.1)


async def test_s08_what_may_be_repeated_is(system, client, agent, add):
    answers = {"keyed": [503, 503, 200], "plain": [503, 200]}

    def answer(name: str):
        def next_one(_asked: Asked) -> tuple[int, object]:
            return answers[name].pop(0), {"ok": name}

        return next_one

    keyed, plain = (system.upstream.serve(answer(name)) for name in ("keyed", "plain"))
    await add(effect("keyed", keyed, idempotency={"header": "Idempotency-Key"}))
    await add(effect("plain", plain))
    retry = {"attempts": 3, "seconds": 0.1}
    await add(
        orders(
            {"id": "store", "action": "keyed.get", "retry": retry},
            {"id": "mail", "action": "plain.get", "retry": retry},
        )
    )
    run = await start(client, agent)
    waiting = await until(client, run.name, run_pb2.RUN_STATE_WAITING, *ENDED)
    assert (waiting.state, waiting.reason) == (run_pb2.RUN_STATE_WAITING, "MAY_HAVE_HAPPENED"), waiting
    asked = system.upstream.asked(keyed)
    assert len(asked) == 3
    assert len({one.headers["idempotency-key"] for one in asked}) == 1
    assert len(system.upstream.asked(plain)) == 1
    steps = (await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=run.name))).steps
    (doubtful,) = [step for step in steps if step.waits == run_pb2.WAITS_DOUBT]
    await client.runs.ResumeRun(run_pb2.ResumeRunRequest(step=doubtful.name, decision=run_pb2.RESUME_REPEAT))
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_SUCCEEDED
    assert len(system.upstream.asked(plain)) == 2


async def test_s15_an_approved_call_runs_once_and_unaltered(system, client, agent, add, org):
    url = system.upstream.serve((200, {"sent": True}))
    await add(effect("mailer", url))
    attachment = agent_pb2.Attachment(name=f"{agent.name}/attachments/mailer", require_approval=["get"])
    update = agent_pb2.UpdateAttachmentRequest(attachment=attachment)
    update.update_mask.paths.append("require_approval")
    await client.agents.UpdateAttachment(update)

    as_agent = system.client(org, ["agent"], "the-agent")
    call = agent_pb2.CallActionRequest(agent=agent.name, action="mailer.get", input=to_struct({}))
    paused = await as_agent.agents.CallAction(call, timeout=30)
    assert (paused.state, paused.reason) == (run_pb2.RUN_STATE_WAITING, "APPROVAL_REQUIRED")
    assert system.upstream.asked(url) == []
    (step,) = (await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=paused.run))).steps
    approve = run_pb2.ApproveStepRequest(step=step.name, digest=step.digest)
    with pytest.raises(Exception, match="agent") as forbidden:
        await as_agent.runs.ApproveStep(approve)
    assert forbidden.value.reason == "PERMISSION_DENIED"
    await client.runs.ApproveStep(approve)
    call.run = paused.run
    answer = await as_agent.agents.CallAction(call, timeout=30)
    assert from_value(answer.output) == {"sent": True}
    assert len(system.upstream.asked(url)) == 1


@pytest.mark.parametrize("separate", [False, True], ids=["one", "many"])
async def test_s07_killed_in_the_middle_of_an_effect(separate):
    """The runtime and the executor die while the upstream is asked; the run completes, and it happened once."""
    programmable = Programmable()
    with upstream(programmable) as server:
        programmable.server = server
        deployment = new_deployment("s07", separate, executor_host_aliases={"upstream.test": server.address})
        await deployment.start()
        try:
            token = DevKeys(deployment.state / "keys").mint("tester", "acme", ["admin"])
            async with Hardpoint(Login(deployment.address, token, deployment.addresses())) as client:
                agent = Agent(client, "helper")
                await agent.create()
                arrived, released = threading.Event(), threading.Event()
                effects: set[str] = set()

                def store(asked: Asked) -> tuple[int, object]:
                    effects.add(asked.headers["idempotency-key"])
                    arrived.set()
                    released.wait(timeout=20)
                    return 200, {"rows": 1}

                stored, mailed = programmable.serve(store), programmable.serve((200, {"sent": True}))
                for capability in (
                    effect("table", stored, idempotency={"header": "Idempotency-Key"}),
                    effect("mailer", mailed),
                    orders({"id": "store", "action": "table.get"}, {"id": "mail", "action": "mailer.get"}),
                ):
                    await add_file(
                        client, agent, json.dumps({"capability": capability}).encode(), f"{capability['id']}.json"
                    )
                run = await start(client, agent)
                assert await asyncio.to_thread(arrived.wait, 20)
                for process in {id(p): p for p in (deployment.processes[u] for u in ("executor", "runtime"))}.values():
                    await process.kill()
                    await process.start()
                released.set()
                ended = await until(client, run.name)
                assert ended.state == run_pb2.RUN_STATE_SUCCEEDED, ended
                assert len(effects) == 1
                assert len(programmable.asked(mailed)) == 1
        finally:
            released.set()
            await deployment.stop()
            remove(deployment)
