"""Fixtures for tests of the runtime: the unit served on a port, on a database of its own, among fakes of its peers."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
import psycopg
import pytest
from sqlalchemy import make_url

from hardpoint.audit.v1.audit_pb2 import ListEventsRequest
from hardpoint.audit.v1.audit_pb2_grpc import AuditServiceStub
from hardpoint.manifest.v1.manifest_pb2 import Authority
from hardpoint.runtime.v1 import agent_pb2, installation_pb2, trigger_pb2
from hardpoint.runtime.v1.agent_pb2_grpc import AgentServiceStub
from hardpoint.runtime.v1.installation_pb2_grpc import InstallationServiceStub
from hardpoint.runtime.v1.policy_pb2_grpc import PolicyServiceStub
from hardpoint.runtime.v1.run_pb2_grpc import RunServiceStub
from hardpoint.runtime.v1.trigger_pb2_grpc import TriggerServiceStub
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.documents import to_struct
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.rpc.server import Server
from hardpoint_runtime.domain.releases import Release
from hardpoint_runtime.peers import Peers
from hardpoint_runtime.server import Options, assemble
from runtime.factories import release
from runtime.fakes import FakeConfig, FakeExecutor, FakeFiles, FakeMarketplace, FakeRegistry
from serving import Serve, SetClock

AGENT = "orgs/acme/agents/helper"
INSTALLATION = "orgs/acme/installations/weather"
ATTACHMENT = f"{AGENT}/attachments/weather"
TOOL = "weather.get-weather"


async def eventually(holds: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    """Ask again and again until it holds; fails when it does not within `seconds`."""
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.005)


@dataclass
class Fakes:
    """The peers of every runtime in a test."""

    registry: FakeRegistry = field(default_factory=FakeRegistry)
    config: FakeConfig = field(default_factory=FakeConfig)
    marketplace: FakeMarketplace = field(default_factory=FakeMarketplace)
    files: FakeFiles = field(default_factory=FakeFiles)
    executor: FakeExecutor = field(default_factory=FakeExecutor)

    def peers(self) -> Peers:
        return Peers(self.registry, self.config, self.marketplace, self.files, self.executor)


class Client:
    """One caller's stubs, and the requests that most tests make."""

    def __init__(self, opened: grpc.aio.Channel) -> None:
        self.agents = AgentServiceStub(opened)
        self.installations = InstallationServiceStub(opened)
        self.policy = PolicyServiceStub(opened)
        self.runs = RunServiceStub(opened)
        self.triggers = TriggerServiceStub(opened)
        self.audit = AuditServiceStub(opened)

    async def create_agent(self, agent_id: str = "helper", **more: Any) -> agent_pb2.Agent:
        return await self.agents.CreateAgent(
            agent_pb2.CreateAgentRequest(parent="orgs/acme", agent_id=agent_id, **more)
        )

    async def install(
        self, capability: str = "orgs/acme/capabilities/weather", grants: Authority | None = None, **more: Any
    ) -> installation_pb2.Installation:
        request = installation_pb2.CreateInstallationRequest(
            parent="orgs/acme", capability=capability, grants=grants or Authority(), **more
        )
        return await self.installations.CreateInstallation(request)

    async def attach(self, installation: str = INSTALLATION, agent: str = AGENT, **more: Any) -> agent_pb2.Attachment:
        return await self.agents.AttachCapability(
            agent_pb2.AttachCapabilityRequest(parent=agent, installation=installation, **more)
        )

    async def detach(self, attachment: str = ATTACHMENT) -> None:
        await self.agents.DetachCapability(agent_pb2.DetachCapabilityRequest(name=attachment))

    async def call(self, action: str = TOOL, agent: str = AGENT, **value: Any) -> agent_pb2.CallActionResponse:
        request = agent_pb2.CallActionRequest(
            agent=agent, action=action, input=to_struct(value or {"location": "New York"})
        )
        return await self.agents.CallAction(request, timeout=30)

    async def tools(self, agent: str = AGENT) -> list[str]:
        response = await self.agents.ListTools(agent_pb2.ListToolsRequest(agent=agent))
        return [tool.name for tool in response.tools]

    async def events(self) -> list[str]:
        """What was done, oldest first: "action resource"."""
        listed = await self.audit.ListEvents(ListEventsRequest(parent="orgs/acme"))
        return [f"{event.action} {event.resource}" for event in reversed(listed.events)]


@pytest.fixture
def fakes() -> Fakes:
    return Fakes()


@pytest.fixture
async def url(database_url: Callable[[str], Awaitable[str]]) -> str:
    """A fresh database of the runtime."""
    return await database_url("hardpoint_runtime")


Another = Callable[..., Awaitable[Server]]
Dial = Callable[..., Client]


@pytest.fixture
def another(url: str, fakes: Fakes, clock: SetClock, serve: Serve) -> Another:
    """`await another()` is one more running runtime, without standard capabilities; all share database and peers."""
    options = Options(runtime_database_url=url)
    return lambda standard=tuple: serve(assemble(options, clock, fakes.peers(), standard, walks=False))


@pytest.fixture
async def server(another: Another) -> Server:
    return await another()


@pytest.fixture
def dial(keys: DevKeys, cleanup: AsyncExitStack) -> Dial:
    """`dial(server, "acme", "operator")` is a client of that org and role."""

    def dial(server: Server, org: str = "acme", role: str = "admin", subject: str = "ada") -> Client:
        opened = channel(f"127.0.0.1:{server.port}", token=keys.mint(subject, org, {role}))
        cleanup.push_async_callback(opened.close)
        return Client(opened)

    return dial


@pytest.fixture
async def client(server: Server, dial: Dial) -> Client:
    """An admin of acme."""
    return dial(server)


@pytest.fixture
def weather(fakes: Fakes) -> Release:
    """A release in the registry that needs no settings."""
    made = release()
    fakes.registry.add(made)
    return made


@pytest.fixture
async def attached(client: Client, weather: Release) -> Client:
    """An admin of acme whose agent `helper` may call `weather.get-weather`, with nothing granted."""
    await client.create_agent()
    await client.install()
    await client.attach()
    return client


Query = Callable[..., Awaitable[list[Any]]]


@pytest.fixture
def query(url: str) -> Query:
    """`await query(sql, org="*")` speaks to the database itself, as the service's own role."""
    conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)

    async def query(sql: str, org: str = "*") -> list[Any]:
        async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
            await connection.execute("SELECT set_config('hardpoint.org', %s, false)", [org])
            cursor = await connection.execute(sql.encode())
            return await cursor.fetchall() if cursor.description else []

    return query


Deliver = Callable[..., Awaitable[trigger_pb2.DeliverResponse]]


@pytest.fixture
async def deliver(server, dial, clock) -> Deliver:
    """`await deliver(trigger, body)` is what the door asks of the runtime."""
    door = dial(server, "hardpoint", "door")

    async def deliver(trigger: Any, body: bytes = b"{}", **headers: str) -> trigger_pb2.DeliverResponse:
        token = trigger if isinstance(trigger, str) else trigger.url.rpartition("/")[2]
        given = {"content-type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
        request = trigger_pb2.DeliverRequest(token=token, body=body, headers=given)
        clock.move(milliseconds=5)  # names of deliveries sort by the millisecond
        request.receive_time.FromDatetime(clock.now())
        return await door.triggers.Deliver(request)

    return deliver
