"""A real Hardpoint to be measured: one process, fresh state, a few capabilities attached to one agent."""

import fcntl
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.daemon import Deployment

from bench.capabilities import DOUBLES, EXAMPLES, FLOW, HTTP_FILE, INPUTS, SPINNER
from bench.servers import Servers
from hardpoint.config.v1 import config_pb2
from hardpoint.config.v1.config_pb2_grpc import ConfigServiceStub
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

ORG = "bench"
HOST = "api.weather.com"
UNBOUNDED = 10_000_000
"""Deliveries a minute: what bounds them is what is measured."""
UNIT = ((ORG_METADATA, ORG), (SUBJECT_METADATA, "bench"))
"""What a unit of Hardpoint says besides its token: for whom it asks."""


@dataclass
class Measured:
    """A running deployment with what its figures need."""

    client: Hardpoint
    agent: Agent
    daemon: int
    """The id of the daemon's process."""
    deployment: Deployment
    state: Path
    """Its folder."""
    config: Any
    """The stubs of config and of the executor, as a unit of Hardpoint has them."""
    executor: Any
    client_of: Callable[[str], Hardpoint]
    """A client of an admin of any organisation."""
    releases: dict[str, registry_pb2.Release] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    """The settings documents of the releases."""
    executions: dict[str, executor_pb2.ExecuteRequest] = field(default_factory=dict)

    async def add(self, name: str, data: bytes, filename: str, secrets: dict[str, str] | None = None) -> None:
        """From a file's bytes to callable actions; the release is known as `name` from then on."""
        release = await self.client.publish((await self.client.push(data, filename)).release.name)
        if release.state != registry_pb2.RELEASE_STATE_PUBLISHED:
            raise RuntimeError(f"{release.name} was rejected: {release.findings}")
        capability = release.name.partition("/releases/")[0]
        installation = await self.client.install(capability, grants=release.manifest.authority)
        for key, value in (secrets or {}).items():
            await self.client.set_secret(installation.name.rpartition("/")[2], key, value)
        await self.client.attach(self.agent.id, installation.name)
        self.releases[name] = release
        self.settings[name] = installation.name.replace("/installations/", "/settings/")

    async def renew(self) -> None:
        """Be ready to execute what was added, with tickets and leases that last for minutes from now on."""
        for name in self.releases:
            self.executions[name] = await self._execution(name)

    async def call(self, action: str, params: dict[str, Any]) -> Any:
        """Call an action as an agent does; raises what it raises."""
        return await self.client.call(self.agent.id, action, params)

    async def execute_to_end(self, name: str, **given: Any) -> None:
        """Run a release's first action as the runtime has it run, with what is given on top of its usual input.

        Raises RuntimeError unless it ends well.
        """
        asked = self._asked(name)
        asked.input.update(given)
        request = executor_pb2.ExecuteToEndRequest(execution=asked)
        response = await self.executor.ExecuteToEnd(request, timeout=30, metadata=UNIT)
        _must_be_well(name, response.finished)

    async def cancel(self) -> float:
        """Run what never ends, and cancel it; milliseconds from there until it is dead and its stream says so."""
        request = self._asked("spinner")
        wanted = executor_pb2.CancelExecutionRequest(org=request.org, execution_id=request.execution_id)
        began = 0.0
        async for event in self.executor.Execute(request, timeout=30, metadata=UNIT):
            if event.log.message == "here":
                began = time.perf_counter()
                await self.executor.CancelExecution(wanted, metadata=UNIT)
            elif event.finished.outcome == executor_pb2.OUTCOME_CANCELLED:
                return (time.perf_counter() - began) * 1000
        raise RuntimeError("what was cancelled ended otherwise")

    def _asked(self, name: str) -> executor_pb2.ExecuteRequest:
        request = executor_pb2.ExecuteRequest(execution_id=uuid.uuid4().hex)
        request.MergeFrom(self.executions[name])
        return request

    async def _execution(self, name: str) -> executor_pb2.ExecuteRequest:
        """What the runtime asks of the executor for a call of the release's first action."""
        release = self.releases[name]
        manifest, action = release.manifest, release.manifest.actions[0]
        wanted = registry_pb2.CreateArtifactTicketRequest(release=release.name)
        ticket = await self.client.artifacts.CreateArtifactTicket(wanted)
        token = ""
        if manifest.requirements:
            lease = await self.config.CreateLease(
                config_pb2.CreateLeaseRequest(settings=self.settings[name]), metadata=UNIT
            )
            token = lease.token
        return executor_pb2.ExecuteRequest(
            org=self.client.org,
            release=release.name,
            digest=release.artifact.digest,
            filename=release.artifact.filename,
            artifact_ticket=ticket.ticket,
            action=manifest_pb2.Action(
                id=action.id, name=action.name, output_schema=action.output_schema, effect=action.effect
            ),
            input=to_struct(INPUTS.get(name, {})),
            authority=manifest.authority,
            lease_token=token,
            requirements=manifest.requirements,
            limits=manifest_pb2.Limits(wall_seconds=30),
            engine=manifest.engine,
            libraries=manifest.libraries,
            isolation=manifest.isolation,
            asked=manifest.authority,
        )


@asynccontextmanager
async def measured(servers: Servers, folder: str = "bench", otlp_endpoint: str = "") -> AsyncIterator[Measured]:
    """Start a deployment over a fresh folder and set it up; it is stopped at the end, also of a failure.

    Raises RuntimeError when another run has the folder.
    """
    state = default_state_folder() / folder
    options = {
        "executor_host_aliases": {HOST: servers.upstream},
        "executor_queue": 128,
        "runtime_trigger_deliveries_per_minute": UNBOUNDED,
        "runtime_org_deliveries_per_minute": UNBOUNDED,
        "otlp_endpoint": otlp_endpoint,
    }
    with _alone(state.with_name(f"{folder}.lock")):
        shutil.rmtree(state, ignore_errors=True)
        deployment = Deployment(state, options=options)
        try:
            await deployment.start()
            keys = DevKeys(state / "keys")
            login = Login(deployment.address, keys.mint("bench", ORG, ["admin"]))
            service = channel(deployment.address, token=keys.mint("units/bench", "hardpoint", ["service"]))
            async with Hardpoint(login) as client, service:

                def client_of(org: str) -> Hardpoint:
                    return Hardpoint(Login(deployment.address, keys.mint("bench", org, ["admin"])))

                stubs = ConfigServiceStub(service), ExecutorServiceStub(service)
                run = Measured(client, Agent(client, "helper"), _pid(deployment), deployment, state, *stubs, client_of)
                await _set_up(run)
                yield run
        finally:
            await deployment.stop()
            shutil.rmtree(state, ignore_errors=True)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Two runs at once would measure each other, and the second would remove the folder of the first."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"another run is measuring ({lock}): wait for it, or set HARDPOINT_STATE") from None
        yield


def _pid(deployment: Deployment) -> int:
    running = deployment.processes["runtime"].running
    assert running is not None
    return running.pid


async def _set_up(run: Measured) -> None:
    await run.agent.create()
    await run.add("http", (EXAMPLES / HTTP_FILE).read_bytes(), HTTP_FILE, {"API_KEY": "bench-key-51d0"})
    for name, (filename, source) in DOUBLES.items():
        await run.add(name, source, filename)
    await run.add("spinner", SPINNER, "spinner.py")
    await run.add("flow", FLOW, "five-doubles.json")
    await run.renew()


def _must_be_well(name: str, finished: executor_pb2.Finished) -> None:
    if finished.outcome != executor_pb2.OUTCOME_OK:
        raise RuntimeError(f"{name} did not run well: {finished}")
