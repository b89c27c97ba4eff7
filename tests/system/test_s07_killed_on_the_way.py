"""S07: the runtime and the executor are killed in the middle of an effect; the run completes, and it happened once."""

import asyncio
import json
import threading

import pytest
from demo.upstreams import Asked, upstream

from hardpoint.runtime.v1 import run_pb2
from hardpoint_client import Agent, Hardpoint, Login
from hardpoint_kit.auth import DevKeys

from .conftest import Programmable, add_file, new_deployment, remove
from .orders import effect, orders, start, until


@pytest.mark.parametrize("separate", [False, True], ids=["one", "many"])
async def test_s07_killed_in_the_middle_of_an_effect(separate):
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
