"""A real Hardpoint to be measured: one process, fresh state, three capabilities attached to one agent."""

import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
from demo.daemon import Deployment

from bench.servers import Servers
from hardpoint.executor.v1 import executor_pb2
from hardpoint.executor.v1.executor_pb2_grpc import ExecutorServiceStub
from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.registry.v1 import registry_pb2
from hardpoint_client import Agent, Hardpoint, Login
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.documents import to_struct
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.rpc.wire import ORG_METADATA, SUBJECT_METADATA
from hardpoint_kit.state import default_state_folder

EXAMPLES = Path(__file__).parents[1] / "examples"
ORG = "bench"
HOST = "api.weather.com"
HTTP_FILE = "weather-capability.yaml"
CODE_FILES = {"python": "custom_data_analyzer.py", "javascript": "custom-data-analyzer.js"}
SPINNER = b"""
from hardpoint_sdk import action, capability
capability(id="spinner", name="Spinner", version="1.0.0", permissions=["compute.heavy"])
@action
async def spin(self, input):
    self.log("here")
    while True:
        pass
"""
ANALYSIS = {"dataset": "value\n1\n2\n3\n4\n100\n", "analysisType": "statistical"}


@dataclass
class Measured:
    """A running deployment with what its figures need."""

    client: Hardpoint
    agent: Agent
    daemon: int
    """The id of the daemon's process."""
    executor: Any
    """The executor's stub, as a unit of Hardpoint has it."""
    client_of: Callable[[str], Hardpoint]
    """A client of an admin of any organisation."""
    releases: dict[str, registry_pb2.Release] = field(default_factory=dict)
    executions: dict[str, executor_pb2.ExecuteRequest] = field(default_factory=dict)

    async def add(self, data: bytes, filename: str, secrets: dict[str, str] | None = None) -> registry_pb2.Release:
        """From a file's bytes to callable actions."""
        release = await self.client.publish((await self.client.push(data, filename)).release.name)
        if release.state != registry_pb2.RELEASE_STATE_PUBLISHED:
            raise RuntimeError(f"{release.name} was rejected: {release.findings}")
        capability = release.name.partition("/releases/")[0]
        installation = await self.client.install(capability, grants=release.manifest.authority)
        for key, value in (secrets or {}).items():
            await self.client.set_secret(installation.name.rpartition("/")[2], key, value)
        await self.client.attach(self.agent.id, installation.name)
        return release

    async def call(self, action: str, params: dict[str, Any]) -> Any:
        """Call an action as an agent does; raises what it raises."""
        return await self.client.call(self.agent.id, action, params)

    async def execute(self, language: str) -> None:
        """Run this language's action as the runtime has it run; raises RuntimeError unless it ends well."""
        request = executor_pb2.ExecuteRequest(execution_id=uuid.uuid4().hex)
        request.MergeFrom(self.executions[language])
        metadata = ((ORG_METADATA, ORG), (SUBJECT_METADATA, "bench"))
        finished = None
        async for event in self.executor.Execute(request, timeout=30, metadata=metadata):
            finished = event.finished
        if finished is None or finished.outcome != executor_pb2.OUTCOME_OK:
            raise RuntimeError(f"{language} did not run well: {finished}")

    async def cancel(self) -> float:
        """Run what never ends, and cancel it; milliseconds from there until it is dead and its stream says so."""
        request = executor_pb2.ExecuteRequest(execution_id=uuid.uuid4().hex)
        request.MergeFrom(self.executions["spinner"])
        metadata = ((ORG_METADATA, ORG), (SUBJECT_METADATA, "bench"))
        wanted = executor_pb2.CancelExecutionRequest(org=request.org, execution_id=request.execution_id)
        began = 0.0
        async for event in self.executor.Execute(request, timeout=30, metadata=metadata):
            if event.log.message == "here":
                began = time.perf_counter()
                await self.executor.CancelExecution(wanted, metadata=metadata)
            elif event.finished.outcome == executor_pb2.OUTCOME_CANCELLED:
                return (time.perf_counter() - began) * 1000
        raise RuntimeError("what was cancelled ended otherwise")


@asynccontextmanager
async def measured(servers: Servers) -> AsyncIterator[Measured]:
    """Start a deployment over a fresh folder and set it up; it is stopped at the end, also of a failure."""
    state = default_state_folder() / "bench"
    shutil.rmtree(state, ignore_errors=True)
    deployment = Deployment(state, options={"executor_host_aliases": {HOST: servers.upstream}, "executor_queue": 128})
    try:
        await deployment.start()
        keys = DevKeys(state / "keys")
        login = Login(deployment.address, keys.mint("bench", ORG, ["admin"]))
        service = channel(deployment.address, token=keys.mint("units/bench", "hardpoint", ["service"]))
        async with Hardpoint(login) as client, service:

            def client_of(org: str) -> Hardpoint:
                return Hardpoint(Login(deployment.address, keys.mint("bench", org, ["admin"])))

            yield await _set_up(client, service, _pid(deployment), client_of)
    finally:
        await deployment.stop()
        shutil.rmtree(state, ignore_errors=True)


def _pid(deployment: Deployment) -> int:
    running = deployment.processes["runtime"].running
    assert running is not None
    return running.pid


async def _set_up(
    client: Hardpoint, service: grpc.aio.Channel, daemon: int, client_of: Callable[[str], Hardpoint]
) -> Measured:
    run = Measured(client, Agent(client, "helper"), daemon, ExecutorServiceStub(service), client_of)
    await run.agent.create()
    run.releases["http"] = await run.add((EXAMPLES / HTTP_FILE).read_bytes(), HTTP_FILE, {"API_KEY": "bench-key-51d0"})
    for language, filename in CODE_FILES.items():
        release = run.releases[language] = await run.add((EXAMPLES / filename).read_bytes(), filename)
        run.executions[language] = await _execution(client, release)
    spinner = await run.add(SPINNER, "spinner.py")
    run.executions["spinner"] = await _execution(client, spinner)
    return run


async def _execution(client: Hardpoint, release: registry_pb2.Release) -> executor_pb2.ExecuteRequest:
    """What the runtime asks of the executor for a call of the release's first action."""
    ticket = await client.artifacts.CreateArtifactTicket(registry_pb2.CreateArtifactTicketRequest(release=release.name))
    action = release.manifest.actions[0]
    return executor_pb2.ExecuteRequest(
        org=client.org,
        release=release.name,
        digest=release.artifact.digest,
        filename=release.artifact.filename,
        artifact_ticket=ticket.ticket,
        action=manifest_pb2.Action(id=action.id, name=action.name, effect=action.effect),
        input=to_struct(ANALYSIS),
        authority=release.manifest.authority,
        requirements=release.manifest.requirements,
    )
