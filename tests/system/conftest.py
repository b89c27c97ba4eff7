"""A real Hardpoint for the walks: started as processes, once for each topology, over throw-away state."""

import asyncio
import json
import shutil
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from demo.daemon import SERVING, Deployment, Process
from demo.otlp import Receiver
from demo.upstreams import Answer, Asked, Upstream, exchange_rates, slack, upstream, weather

import forked
from executor.post import Post, mail_server
from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.registry.v1 import registry_pb2
from hardpoint_client import Agent, Hardpoint, Login
from hardpoint_kit.auth import DevKeys
from hardpointd.postgres import EmbeddedPostgres
from providers import Provider, provider

EXAMPLES = Path(__file__).parents[2] / "examples"
# What the started processes find on their path, before anything else.
sys.path.insert(0, str(Path(__file__).with_name("names")))
WEATHER_KEY = "system-weather-key-91c2"
SLACK_TOKEN = "system-slack-token-40be"
MAIL_PASSWORD = "system-mail-7d10c4b2"
UPSTREAM = "upstream.test"
DATABASE = "database.test"
MAIL = "mail.test"
CSV = "value\n1\n2\n3\n4\n100\n"


@dataclass(frozen=True)
class Engine:
    """What runs a file of code: how such a file's name ends, and the words `ENGINE` of its header that ask for it."""

    name: str
    ending: str
    header: str = ""

    def file(self, source: str) -> bytes:
        """A file's bytes from its text."""
        return source.replace("ENGINE", self.header).encode()


ENGINES = {
    ("slots", "one"): Engine("python", ".py"),
    ("single-use", "one"): Engine("node", ".js"),
    ("slots", "many"): Engine("quickjs", ".js", "engine: 'quickjs',"),
    ("single-use", "many"): Engine("strict python", ".py", 'isolation="strict",'),
}
"""By tier and topology: every engine of a tier in one topology, both tiers in each."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "topology" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--topology")
        marker = metafunc.definition.get_closest_marker("topology")
        names = marker.args if marker else ("one", "many")
        metafunc.parametrize("topology", [name for name in names if chosen in (None, name)], scope="package")


@dataclass
class Programmable:
    """The web API `upstream.test`: each test answers under a path of its own."""

    answers: dict[str, Answer] = field(default_factory=dict)
    server: Upstream = field(default_factory=Upstream)

    def __call__(self, asked: Asked) -> tuple[int, object]:
        for prefix, answer in self.answers.items():
            if asked.path.startswith(prefix):
                return answer(asked)
        return 404, {"error": "no test answers here"}

    def serve(self, answer: Answer | tuple[int, object]) -> str:
        """Answer under a fresh path; its URL."""
        path = f"/{uuid.uuid4().hex}"
        fixed = answer
        self.answers[path] = fixed if callable(fixed) else lambda _asked: fixed
        return f"https://{UPSTREAM}{path}"

    def asked(self, url: str) -> list[Asked]:
        """What came to a URL that `serve` gave."""
        path = url.removeprefix(f"https://{UPSTREAM}")
        return [asked for asked in self.server.asked if asked.path.startswith(path)]


@dataclass(repr=False)
class System:
    """A running Hardpoint with what surrounds it.

    It says nothing of itself: asyncio writes down the result of every fixture that it ran (for a signal handler that
    Python looks up by name), and this one holds every span of the session.
    """

    deployment: Deployment
    receiver: Receiver
    upstream: Programmable
    weather: Upstream
    slack: Upstream
    identity: Provider
    post: Post
    clients: list[Hardpoint] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether one process serves every unit."""
        return not self.deployment.separate

    def service(self, unit: str) -> str:
        """The name under which the process of a unit sends its spans."""
        return "hardpoint" if self.whole else f"hardpoint-{unit}"

    def token(self, org: str, roles: Sequence[str] = ("admin",), subject: str = "tester") -> str:
        """A token that the deployment believes."""
        return DevKeys(self.deployment.state / "keys").mint(subject, org, roles)

    def client(self, org: str, roles: Sequence[str] = ("admin",), subject: str = "tester") -> Hardpoint:
        """A client of an org; closed at the end of the test."""
        login = Login(self.deployment.address, self.token(org, roles, subject), self.deployment.addresses())
        client = Hardpoint(login)
        self.clients.append(client)
        return client

    async def kill(self, *units: str) -> None:
        """End the processes of these units as a power cut would, and start them again; what follows finds all well."""
        for process in {id(found): found for found in map(self.deployment.processes.__getitem__, units)}.values():
            await process.kill()
            await process.start()

    @asynccontextmanager
    async def changed(
        self, unit: str, works: Callable[[], Awaitable[bool]], status: int = SERVING, **environment: str
    ) -> AsyncIterator[Process]:
        """The process of a unit, in another environment until the block ends: started until it says a status.

        Whoever calls it has found it again where it serves, and at the end, when `works` is true.
        """
        process = self.deployment.processes[unit]
        usual = process.environment
        await process.stop()
        process.environment = {**usual, **environment}
        try:
            await process.start(status)
            if status == SERVING:
                await eventually(works, seconds=10)
            yield process
        finally:
            await process.stop()
            process.environment = usual
            await process.start()
            await eventually(works, seconds=10)

    def cli_environment(self, org: str, roles: Sequence[str] = ("admin",), subject: str = "tester") -> dict[str, str]:
        """What the command line needs to reach the deployment."""
        addresses = {f"HARDPOINT_{unit.upper()}_ADDRESS": place for unit, place in self.deployment.addresses().items()}
        login = {"HARDPOINT_ADDRESS": self.deployment.address, "HARDPOINT_TOKEN": self.token(org, roles, subject)}
        return {**addresses, **login}


NewDeployment = Callable[..., Deployment]


@pytest.fixture(scope="session")
def new_deployment(state_folder: Path) -> NewDeployment:
    """`new_deployment("name", separate, option=...)` is a deployment over a fresh folder, not started."""

    def new_deployment(name: str, separate: bool, **options: Any) -> Deployment:
        return Deployment(state_folder / f"{name}-{uuid.uuid4().hex[:8]}", separate, options)

    return new_deployment


def remove(deployment: Deployment) -> None:
    """Remove a stopped deployment's folder."""
    shutil.rmtree(deployment.state, ignore_errors=True)


@pytest.fixture(scope="package")
def topology() -> str:
    """One process, or one for each unit."""
    return "one"


@pytest.fixture(scope="package")
async def _deployed(
    topology: str, postgres: EmbeddedPostgres, jail_roots: None, new_deployment: NewDeployment
) -> AsyncIterator[System]:
    receiver = Receiver()
    await receiver.start()
    async with AsyncExitStack() as stack:
        programmable = Programmable()
        post = await stack.enter_async_context(mail_server(MAIL_PASSWORD))
        programmable.server = stack.enter_context(upstream(programmable))
        weather_api = stack.enter_context(upstream(weather(WEATHER_KEY)))
        identity = stack.enter_context(provider())

        def slack_answer(asked: Asked) -> Any:
            shown = asked.headers.get("authorization", "").removeprefix("Bearer ")
            return slack(shown if shown in identity.access_tokens else SLACK_TOKEN)(asked)

        slack_api = stack.enter_context(upstream(slack_answer))
        exchange_api = stack.enter_context(upstream(exchange_rates))
        aliases = {
            "api.weather.com": weather_api.address,
            "slack.com": slack_api.address,
            "api.exchangerate.host": exchange_api.address,
            UPSTREAM: programmable.server.address,
            DATABASE: f"127.0.0.1:{postgres.port}",
            MAIL: post.place,
        }
        deployment = new_deployment(
            topology,
            topology == "many",
            otlp_endpoint=receiver.endpoint,
            executor_host_aliases=aliases,
            config_host_aliases={"slack.com": identity.server.address},
        )
        try:
            with forked.from_command_line() if topology == "one" else nullcontext():
                await deployment.start()
            yield System(deployment, receiver, programmable, weather_api, slack_api, identity, post)
        finally:
            await deployment.stop()
            await receiver.stop()
            remove(deployment)


@pytest.fixture
async def system(_deployed: System) -> AsyncIterator[System]:
    """The running Hardpoint; no test may make it log an error, and the test's clients are closed after it."""
    ends = _deployed.deployment.ends()
    yield _deployed
    while _deployed.clients:
        await _deployed.clients.pop().close()
    assert '"level": "error"' not in (log := _deployed.deployment.log(ends)), log


@pytest.fixture
def org() -> str:
    """An org of the test's own."""
    return f"org-{uuid.uuid4().hex[:10]}"


@pytest.fixture
async def client(system: System, org: str) -> Hardpoint:
    """An admin of the test's org."""
    return system.client(org)


@pytest.fixture
async def agent(client: Hardpoint) -> Agent:
    """A running agent of the test's org."""
    agent = Agent(client, "helper")
    await agent.create()
    return agent


@pytest.fixture(params=["slots", "single-use"])
def engine(request: pytest.FixtureRequest, topology: str) -> Engine:
    """The engine of a tier that this topology tries."""
    return ENGINES[request.param, topology]


Add = Callable[..., Awaitable[str]]


@pytest.fixture
def add(client: Hardpoint, agent: Agent) -> Add:
    """Upload, publish, install with all that is asked, configure and attach; the installation's id."""

    async def add_capability(
        source: str | dict[str, Any], *, secrets: dict[str, str] | None = None, grants: Any = None
    ) -> str:
        if isinstance(source, str):
            data, filename = (EXAMPLES / source).read_bytes(), source
        else:
            data, filename = json.dumps({"capability": source}).encode(), "capability.json"
        return await add_file(client, agent, data, filename, secrets=secrets, grants=grants)

    return add_capability


async def add_file(
    client: Hardpoint,
    agent: Agent,
    data: bytes,
    filename: str,
    *,
    secrets: dict[str, str] | None = None,
    settings: dict[str, Any] | None = None,
    grants: manifest_pb2.Authority | None = None,
) -> str:
    """From a file's bytes to callable actions; the installation's id."""
    release = (await client.push(data, filename)).release
    if release.state == registry_pb2.RELEASE_STATE_DRAFT:
        release = await client.publish(release.name)
    assert release.state == registry_pb2.RELEASE_STATE_PUBLISHED, release.findings
    granted = grants if grants is not None else release.manifest.authority
    installation = await client.install(release.name.partition("/releases/")[0], grants=granted)
    installation_id = installation.name.rpartition("/")[2]
    for key, value in (secrets or {}).items():
        await client.set_secret(installation_id, key, value)
    if settings:
        await client.set_settings(installation_id, settings)
    await client.attach(agent.id, installation_id)
    return installation_id


def http_capability(url: str, **changes: Any) -> dict[str, Any]:
    """A small capability of kind http with one action `get`, asking for what it needs."""
    integration = {"type": "api", "endpoint": url, "method": "GET", **changes.pop("integration", {})}
    action = {"id": "get", "name": "Get", **changes.pop("action", {})}
    method = integration["method"].lower()
    return {
        "id": "probe",
        "name": "Probe",
        "version": "1.0.0",
        "description": "Asks the test's upstream",
        "actions": [action],
        "integration": integration,
        "permissions": [f"network.http.{method}"],
        **changes,
    }


async def eventually(holds: Callable[[], Awaitable[Any]], seconds: float = 5.0) -> Any:
    """Ask until the answer is true, at most for `seconds`; the answer."""
    async with asyncio.timeout(seconds):
        while not (answer := await holds()):
            await asyncio.sleep(0.02)
        return answer
