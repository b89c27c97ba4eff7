"""S09: detaching during a call lets it end normally; the next is refused, nothing lists it, and audit has both."""

import asyncio
import threading

from .conftest import eventually, http_capability


async def test_detach_during_a_call(system, client, agent, add):
    arrived, go_on = threading.Event(), threading.Event()

    def slow(_asked):
        arrived.set()
        go_on.wait(timeout=4)
        return 200, {"done": True}

    await add(http_capability(system.upstream.serve(slow)))
    running = asyncio.create_task(agent.execute("probe.get"))
    assert await asyncio.to_thread(arrived.wait, 5)

    await client.detach(agent.id, "probe")

    async def refused() -> bool:
        response = await agent.execute("probe.get")
        return response.error is not None and "probe was detached at " in response.error.message

    go_on_later = asyncio.create_task(eventually(refused, seconds=2))
    try:
        await go_on_later
    finally:
        go_on.set()
    ended = await running
    assert ended.error is None
    assert ended.data == {"done": True}
    assert list(await agent.tools()) == []

    events = (await client.events("runtime")).events
    verbs = [event.action for event in events]
    assert any("detach" in verb for verb in verbs)
    assert any("attach" in verb and "detach" not in verb for verb in verbs)
