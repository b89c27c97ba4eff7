"""What was acknowledged survives a kill -9 and a database that goes away; what was not is nowhere to be seen."""

import asyncio
import hashlib
import json
import os
import signal
import threading

import pytest
from demo.upstreams import upstream

from hardpoint.registry.v1 import registry_pb2
from hardpoint.runtime.v1 import run_pb2
from hardpoint_client import Agent, Hardpoint, Login
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.errors import HardpointError
from hardpointd.postgres import EmbeddedPostgres

from .conftest import Programmable, add_file, eventually, http_capability, remove


@pytest.fixture
async def own(new_deployment):
    """A deployment of the test's own, to be killed."""
    programmable = Programmable()
    with upstream(programmable) as server:
        programmable.server = server
        deployment = new_deployment("durable", False, executor_host_aliases={"upstream.test": server.address})
        await deployment.start()
        token = DevKeys(deployment.state / "keys").mint("tester", "acme", ["admin"])
        async with Hardpoint(Login(deployment.address, token)) as client:
            yield deployment, client, programmable
        await deployment.stop()
        remove(deployment)


def yaml_capability(number: int) -> bytes:
    return (
        b"""
capability:
  id: numbered
  name: Numbered
  version: 1.0.%d
  description: One of many
  actions: [{id: get, name: Get}]
  integration: {type: api, endpoint: "https://upstream.test/x", method: GET}
  permissions: [network.http.get]
"""
        % number
    )


@pytest.mark.topology("one")
async def test_killed_in_the_middle_of_uploads_publishes_and_calls(system, client, agent):
    arrived = threading.Event()
    finished = threading.Event()

    def slow(_asked):
        arrived.set()
        finished.wait(timeout=5)
        return 200, {"late": True}

    url = system.upstream.serve((200, {"ok": True}))
    await add_file(client, agent, json.dumps({"capability": http_capability(url)}).encode(), "p.json")
    slow_url = system.upstream.serve(slow)
    slow_capability = {**http_capability(slow_url), "id": "slow"}
    await add_file(client, agent, json.dumps({"capability": slow_capability}).encode(), "s.json")
    acknowledged_runs = [(await agent.execute("probe.get")).run for _ in range(20)]
    assert all(acknowledged_runs)

    published: list[str] = []

    async def publish_for_ever() -> None:
        for number in range(10_000):
            pushed = await client.push(yaml_capability(number), f"n{number}.yaml")
            await client.publish(pushed.release.name)
            published.append(pushed.release.name)

    half = b"x" * 100_000
    digest = f"sha256:{hashlib.sha256(half + half).hexdigest()}"
    sent_half = asyncio.Event()

    async def half_an_upload():
        header = registry_pb2.UploadArtifactRequest.Header(parent=client.org, digest=digest, size_bytes=200_000)
        yield registry_pb2.UploadArtifactRequest(header=header)
        yield registry_pb2.UploadArtifactRequest(chunk=half)
        sent_half.set()
        await asyncio.sleep(60)

    publishing = asyncio.create_task(publish_for_ever())
    uploading = asyncio.ensure_future(client.artifacts.UploadArtifact(half_an_upload()))
    calling = asyncio.create_task(agent.execute("slow.get"))
    await asyncio.to_thread(arrived.wait, 10)
    await sent_half.wait()
    await eventually(lambda: _true(len(published) >= 3), seconds=20)

    await system.kill("runtime")
    finished.set()
    results = await asyncio.gather(publishing, uploading, calling, return_exceptions=True)
    assert isinstance(results[0], HardpointError)
    assert isinstance(results[1], HardpointError)
    assert results[2].error is not None, "a call whose process died was never acknowledged"

    for name in published:
        release = await client.registry.GetRelease(registry_pb2.GetReleaseRequest(name=name))
        assert release.state == registry_pb2.RELEASE_STATE_PUBLISHED
    runs = (await client.runs.ListRuns(run_pb2.ListRunsRequest(parent=client.org, page_size=200))).runs
    assert set(acknowledged_runs) <= {run.name for run in runs}
    assert {run.action for run in runs} == {"probe.get"}, "of a call that was cut off nothing half is left"
    listed = await client.registry.ListReleases(
        registry_pb2.ListReleasesRequest(parent=f"{client.org}/capabilities/numbered", page_size=200)
    )
    states = {release.state for release in listed.releases}
    assert registry_pb2.RELEASE_STATE_CHECKING not in states, "an interrupted check is done again at the start"
    with pytest.raises(HardpointError) as refused:
        await client.registry.CreateRelease(
            registry_pb2.CreateReleaseRequest(parent=client.org, digest=digest, filename="half.yaml")
        )
    assert refused.value.code.name == "NOT_FOUND"
    again = await agent.execute("probe.get")
    assert again.error is None, "attachments, grants and settings are all there"


async def test_the_database_goes_away_and_comes_back(own):
    deployment, client, programmable = own
    agent = Agent(client, "helper")
    await agent.create()
    url = programmable.serve((200, {"ok": True}))
    await add_file(client, agent, json.dumps({"capability": http_capability(url)}).encode(), "p.json")
    assert (await agent.execute("probe.get")).error is None
    pid = deployment.processes["runtime"].running.pid

    postmaster = int((deployment.state / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGINT)
    await eventually(lambda: _true(not (deployment.state / "postgres" / "data" / "postmaster.pid").exists()), 20)

    refused = await agent.execute("probe.get")
    assert refused.error is not None
    assert refused.error.code.name == "UNAVAILABLE"
    with pytest.raises(HardpointError) as error:
        await client.registry.ListCapabilities(registry_pb2.ListCapabilitiesRequest(parent=client.org), timeout=8)
    assert error.value.code.name == "UNAVAILABLE"

    async with EmbeddedPostgres(deployment.state):

        async def works() -> bool:
            return (await agent.execute("probe.get")).error is None

        await eventually(works, seconds=20)
        assert deployment.processes["runtime"].running.pid == pid
        assert deployment.processes["runtime"].running.returncode is None
        await deployment.stop()


async def _true(value: bool) -> bool:
    return value
