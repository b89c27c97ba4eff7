"""The gRPC implementations of the runtime's peers, against real servers that play the other units."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from hardpoint.config.v1 import config_pb2, config_pb2_grpc
from hardpoint.executor.v1 import executor_pb2, executor_pb2_grpc
from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.marketplace.v1 import marketplace_pb2, marketplace_pb2_grpc
from hardpoint.registry.v1 import registry_pb2, registry_pb2_grpc
from hardpoint_kit.auth import DevKeys, Verifier
from hardpoint_kit.caller import Caller, acting_as, caller
from hardpoint_kit.documents import to_struct, to_value
from hardpoint_kit.errors import (
    ActionFailed,
    Conflict,
    DeadlineExceeded,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)
from hardpoint_kit.names import CapabilityName, InstallationName, ReleaseName, RunName, SettingsName
from hardpoint_kit.options import Options
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.rpc.server import Server
from hardpoint_kit.rpc.status import to_status
from hardpoint_kit.unit import Unit
from hardpoint_manifest.authority import Authority
from hardpoint_manifest.model import FILE_SCHEMA, Answer, Example
from hardpoint_registry.manifest_proto import example_to_proto
from hardpoint_runtime.domain.executions import Execution
from hardpoint_runtime.domain.releases import Effect
from hardpoint_runtime.domain.runs import RunState
from hardpoint_runtime.peers import GrpcConfig, GrpcExecutor, GrpcMarketplace, GrpcRegistry
from runtime.factories import API_KEY, ASKS, UNITS, action, release

LATER = datetime(2030, 1, 1, tzinfo=UTC)
OPERATOR = Caller("ada", "acme", frozenset({"operator"}))
EXECUTION = Execution(
    run=RunName("acme", "r-1"),
    agent="orgs/acme/agents/helper",
    release=replace(release(requirements=(API_KEY, UNITS)), engine="node", libraries=("numpy",), isolation="strict"),
    action=action(),
    input={"location": "New York", "days": 3},
    authority=ASKS,
    artifact_ticket="artifact",
    lease_token="lease",
    wall_seconds=7.5,
    timeout=20.0,
)

Reach = Callable[..., Awaitable[Any]]


@pytest.fixture
def servers() -> list[Server]:
    """Those that play other units, in the order in which they were started."""
    return []


@pytest.fixture
def reach(keys: DevKeys, cleanup: AsyncExitStack, servers: list[Server]) -> Reach:
    """`await reach((add, servicer), ...)` is a channel of the runtime to a server of these services."""

    async def reach(*services: Any) -> Any:
        options = Options(listen="127.0.0.1:0")
        units = [Unit("peer", list(services))]
        server = Server(options, units, Verifier(keys.jwks(), issuer="hardpoint"))
        await server.start()
        servers.append(server)
        cleanup.push_async_callback(server.stop, 0)
        token = keys.mint("runtime", "hardpoint", {"service"})
        opened = channel(f"127.0.0.1:{server.port}", token=token, act_for=True)
        cleanup.push_async_callback(opened.close)
        return opened

    return reach


class ExecutorUnit(executor_pb2_grpc.ExecutorServiceServicer):
    """Plays what it is told, and remembers what it was asked and whether it was cancelled."""

    def __init__(self) -> None:
        self.play: Callable[[], Awaitable[executor_pb2.Finished]] = finish
        self.requests: list[executor_pb2.ExecuteRequest] = []
        self.cancelled = asyncio.Event()

    async def ExecuteToEnd(self, request: Any, context: Any) -> executor_pb2.ExecuteToEndResponse:
        self.requests.append(request.execution)
        try:
            return executor_pb2.ExecuteToEndResponse(finished=await self.play())
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


def finished(outcome: str = "OK", **fields: Any) -> executor_pb2.Finished:
    usage = manifest_pb2.Usage(wall_ms=1.5, peak_memory_bytes=7, broker_calls=2)
    return executor_pb2.Finished(outcome=f"OUTCOME_{outcome}", usage=usage, **fields)


async def finish() -> executor_pb2.Finished:
    return finished(output=to_value({"temperature": 72}))


async def hang() -> executor_pb2.Finished:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


@pytest.fixture
def unit() -> ExecutorUnit:
    return ExecutorUnit()  # type: ignore[abstract]  # it plays what is called


@pytest.fixture
async def executor(reach: Reach, unit: ExecutorUnit) -> AsyncIterator[GrpcExecutor]:
    opened = await reach((executor_pb2_grpc.add_ExecutorServiceServicer_to_server, unit))
    with acting_as(OPERATOR):
        yield GrpcExecutor(opened)


@pytest.fixture(autouse=True)
def _on_behalf_of_an_operator() -> Any:
    with acting_as(OPERATOR):
        yield


async def test_what_may_share_a_jail_is_said_of_releases_that_ask_for_it(
    executor: GrpcExecutor, unit: ExecutorUnit
) -> None:
    """An executor that knows nothing of it is not told of an isolation that it would refuse."""
    release = replace(EXECUTION.release, isolation="run", digest=f"sha256:{1:064}")
    shared = replace(EXECUTION, release=release, installation="i-1", goes_on=True, shared_runs=True)
    await executor.execute(EXECUTION)
    await executor.execute(shared)
    usual, asked = unit.requests
    assert (asked.single_use, asked.shared_runs) == (False, True)
    assert (usual.HasField("sharing"), usual.isolation, asked.isolation) == (False, "strict", "")
    assert asked.sharing == executor_pb2.Sharing(run="orgs/acme/runs/r-1", installation="i-1", goes_on=True)


async def test_an_execution_is_asked_for_and_ends(executor: GrpcExecutor, unit: ExecutorUnit) -> None:
    ended = await executor.execute(EXECUTION)
    assert (ended.state, ended.output, ended.error) == (RunState.SUCCEEDED, to_value({"temperature": 72}), None)
    assert (ended.usage.wall_ms, ended.usage.peak_memory_bytes, ended.usage.broker_calls) == (1.5, 7, 2)

    (request,) = unit.requests
    assert (request.org, request.execution_id, request.run) == ("orgs/acme", "r-1", "orgs/acme/runs/r-1")
    assert (request.release, request.digest) == (str(EXECUTION.release.name), EXECUTION.release.digest)
    assert (request.filename, request.artifact_ticket, request.lease_token) == ("weather.yaml", "artifact", "lease")
    assert (request.engine, list(request.libraries), request.isolation) == ("node", ["numpy"], "strict")
    assert (request.action.id, request.limits.wall_seconds) == ("get-weather", 7.5)
    assert request.input == to_struct({"location": "New York", "days": 3})
    assert sorted(request.authority.permissions) == ["compute.light", "network.http.get"]
    assert [(r.key, r.type, r.HasField("default_value")) for r in request.requirements] == [
        ("API_KEY", "secret", False),
        ("UNITS", "string", True),
    ]


async def test_how_it_failed_is_told_as_it_was_raised(executor: GrpcExecutor, unit: ExecutorUnit) -> None:
    async def fail() -> executor_pb2.Finished:
        return finished("USER_ERROR", error=to_status(ActionFailed("x is not a function", place="plugin.js:12:9")))

    unit.play = fail
    ended = await executor.execute(EXECUTION)
    assert ended.state is RunState.FAILED
    assert isinstance(ended.error, ActionFailed)
    assert (ended.error.reason, ended.error.place, ended.error.from_peer) == ("USER_ERROR", "plugin.js:12:9", False)


async def test_what_the_executor_refuses_is_raised_with_its_reason(executor: GrpcExecutor, unit: ExecutorUnit) -> None:
    errors = [
        ResourceExhausted("every jail is busy", reason="QUEUE_FULL", retry_after=0.5),
        Unavailable("user namespaces are off", reason="JAIL_UNAVAILABLE"),
    ]
    for error in errors:

        async def refuse(error: Exception = error) -> executor_pb2.Finished:
            raise error

        unit.play = refuse
        with pytest.raises(type(error)) as refused:
            await executor.execute(EXECUTION)
        assert (refused.value.reason, refused.value.retry_after) == (error.reason, error.retry_after)


async def test_no_executor_is_said_at_once() -> None:
    async with channel("127.0.0.1:1") as opened:
        with pytest.raises(Unavailable) as refused:
            await asyncio.wait_for(GrpcExecutor(opened).execute(EXECUTION), 5)
    assert (refused.value.reason, refused.value.retry_after) == ("NO_EXECUTOR", 1.0)


async def test_an_executor_that_takes_the_connection_and_says_nothing_is_none() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with silent, channel(f"127.0.0.1:{port}") as opened:
        with pytest.raises(Unavailable) as refused:
            await asyncio.wait_for(GrpcExecutor(opened).execute(EXECUTION), 5)
    assert refused.value.reason == "NO_EXECUTOR"


async def test_an_executor_lost_while_it_ran_may_have_had_an_effect(
    executor: GrpcExecutor, unit: ExecutorUnit, servers: list[Server]
) -> None:
    async def fall_over() -> executor_pb2.Finished:
        raise ZeroDivisionError

    async def vanish() -> executor_pb2.Finished:
        vanishing.append(asyncio.create_task(servers[0].stop(0)))
        return await hang()

    vanishing: list[asyncio.Task[None]] = []
    for play in (fall_over, vanish):
        unit.play = play
        ended = await asyncio.wait_for(executor.execute(EXECUTION), 20)
        assert ended.state is RunState.FAILED
        assert isinstance(ended.error, Unavailable)
        assert "may have taken effect" in ended.error.fix
    await asyncio.gather(*vanishing)


async def test_a_deadline_while_it_ran_is_a_run_that_timed_out(executor: GrpcExecutor, unit: ExecutorUnit) -> None:
    unit.play = hang
    ended = await executor.execute(replace(EXECUTION, timeout=0.3))
    assert ended.state is RunState.FAILED
    assert isinstance(ended.error, DeadlineExceeded)
    assert ended.error.reason == "TIMEOUT"


async def test_cancelling_kills_the_execution(executor: GrpcExecutor, unit: ExecutorUnit) -> None:
    begun = asyncio.Event()

    async def begin() -> executor_pb2.Finished:
        begun.set()
        return await hang()

    unit.play = begin
    running = asyncio.create_task(executor.execute(EXECUTION))
    await asyncio.wait_for(begun.wait(), 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.wait_for(unit.cancelled.wait(), 5)


async def test_what_json_cannot_hold_is_not_sent(executor: GrpcExecutor, unit: ExecutorUnit) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await executor.execute(replace(EXECUTION, input={"days": float("nan")}))
    assert refused.value.reason == "INPUT_INVALID"
    assert unit.requests == []


class RegistryUnit(registry_pb2_grpc.RegistryServiceServicer, registry_pb2_grpc.ArtifactServiceServicer):
    async def ResolveRelease(self, request: Any, context: Any) -> registry_pb2.Release:
        assert (request.capability, request.constraint) == ("orgs/publisher/capabilities/weather", "^1")
        assert (caller(context).org, caller(context).subject) == ("acme", "ada")
        return RELEASE

    async def GetRelease(self, request: Any, context: Any) -> registry_pb2.Release:
        return RELEASE

    async def CreateArtifactTicket(self, request: Any, context: Any) -> registry_pb2.ArtifactTicket:
        return registry_pb2.ArtifactTicket(ticket=f"for {request.release}", expire_time=LATER)


FILE_OF_BEFORE = {
    **FILE_SCHEMA,
    "properties": {name: schema for name, schema in FILE_SCHEMA["properties"].items() if name != "expire_time"},
}
RELEASE = registry_pb2.Release(
    name="orgs/publisher/capabilities/weather/releases/1.2.0",
    artifact=registry_pb2.Artifact(digest="sha256:" + "1" * 64, filename="weather.yaml"),
    manifest=manifest_pb2.Manifest(
        actions=[
            manifest_pb2.Action(id="get", input_schema=to_struct({"type": "object"}), effect="EFFECT_READ"),
            manifest_pb2.Action(
                id="put",
                input_schema=to_struct({"type": "object", "properties": {"file": FILE_OF_BEFORE}}),
                output_schema=to_struct(FILE_OF_BEFORE),
                effect="EFFECT_WRITE",
            ),
        ],
        requirements=[
            manifest_pb2.Requirement(
                key="API_KEY", label="Key", type="secret", required=True, hosts=["api.weather.com"], pointer="/config/0"
            ),
            manifest_pb2.Requirement(key="DAYS", type="number", default_value=to_value(3)),
        ],
        authority=manifest_pb2.Authority(permissions=["network.http.get"], hosts=["api.weather.com"]),
        engine="node",
        libraries=["numpy"],
        isolation="strict",
    ),
)


async def test_a_release_is_resolved_as_the_caller(reach: Reach) -> None:
    registry = GrpcRegistry(
        await reach(
            (registry_pb2_grpc.add_RegistryServiceServicer_to_server, RegistryUnit()),  # type: ignore[abstract]
            (registry_pb2_grpc.add_ArtifactServiceServicer_to_server, RegistryUnit()),  # type: ignore[abstract]
        )
    )
    name = ReleaseName("publisher", "weather", "1.2.0")
    found = await registry.resolve(name.capability_name, "^1")
    assert found == await registry.release(name)
    assert (found.name, found.digest, found.filename) == (name, "sha256:" + "1" * 64, "weather.yaml")
    assert [(a.id, a.effect, a.input_schema) for a in found.actions] == [
        ("get", Effect.READ, {"type": "object"}),
        ("put", Effect.WRITE, {"type": "object", "properties": {"file": FILE_SCHEMA}}),
    ]
    assert found.actions[1].output_schema == FILE_SCHEMA, "a release of before takes and gives handles of today"
    assert [(r.key, r.required, r.default) for r in found.requirements] == [("API_KEY", True, None), ("DAYS", False, 3)]
    assert (found.requirements[0].hosts, found.requirements[0].pointer) == (("api.weather.com",), "/config/0")
    assert found.asks == Authority(frozenset({"network.http.get"}), frozenset({"api.weather.com"}))
    assert (found.engine, found.libraries, found.isolation) == ("node", ("numpy",), "strict")
    ticket = await registry.artifact_ticket(name)
    assert (ticket.token, ticket.expires_at) == (f"for {name}", LATER)


EXAMPLES = (
    Example(name="plain", action="run"),
    Example(
        name="answered",
        action="run",
        input={"n": 1},
        steps={
            "a": Answer(given={"x": {"$type": "number"}}, gives=[None, 0], revert=Answer(fails="STUCK")),
            "b": "skipped",
            "c": (Answer(), Answer(fails="GONE")),
        },
        settings={"LIMIT": 5, "NONE": None},
        trigger={"id": "t"},
    ),
)


class RecordingUnit(RegistryUnit):
    async def ListRecordedExamples(self, request: Any, context: Any) -> registry_pb2.ListRecordedExamplesResponse:
        recorded = [registry_pb2.RecordedExample(example=example_to_proto(one), cassette=b"{}") for one in EXAMPLES]
        return registry_pb2.ListRecordedExamplesResponse(examples=recorded)


async def test_examples_come_as_the_registry_has_them(reach: Reach) -> None:
    registry = GrpcRegistry(await reach((registry_pb2_grpc.add_RegistryServiceServicer_to_server, RecordingUnit())))
    found = await registry.recorded_examples(ReleaseName("acme", "weather", "1.2.0"))
    assert tuple(one.example for one in found) == EXAMPLES


class ConfigUnit(config_pb2_grpc.ConfigServiceServicer):
    def __init__(self) -> None:
        self.deleted: list[str] = []

    async def DeleteSettings(self, request: Any, context: Any) -> config_pb2.DeleteSettingsResponse:
        assert request.request_id
        self.deleted.append(request.name)
        return config_pb2.DeleteSettingsResponse()

    async def GetSettings(self, request: Any, context: Any) -> config_pb2.Settings:
        return config_pb2.Settings(
            name=request.name, values=to_struct({"UNITS": "metric", "GONE": None}), secrets={"API_KEY": "orgs/acme/x"}
        )

    async def CreateLease(self, request: Any, context: Any) -> config_pb2.Lease:
        if request.signer:
            raise Conflict("sign in", reason="CONNECTION_NEEDS_REAUTH", link=f"https://id.example.com/{request.signer}")
        token, until = f"lease of {request.settings} {request.user}", Timestamp(seconds=1893456000)
        return config_pb2.Lease(token=token, expire_time=until, per_user=bool(request.user))

    async def WatchChanges(self, request: Any, context: Any) -> AsyncIterator[config_pb2.WatchChangesResponse]:
        yield config_pb2.WatchChangesResponse()
        yield config_pb2.WatchChangesResponse(settings=["orgs/acme/settings/a", "orgs/umbrella/settings/b"])
        raise Unavailable("changes are not heard")


async def test_config_tells_keys_leases_and_changes(reach: Reach) -> None:
    played = ConfigUnit()  # type: ignore[abstract]
    config = GrpcConfig(await reach((config_pb2_grpc.add_ConfigServiceServicer_to_server, played)))
    settings = SettingsName("acme", "weather")
    assert await config.configured(settings) == {"UNITS", "API_KEY"}
    for user in ("", "anna"):
        lease = await config.lease(settings, user)
        assert (lease.token, lease.expires_at) == (f"lease of {settings} {user}", LATER)
        assert lease.per_user is bool(user)
    with pytest.raises(Conflict) as refused:
        await config.lease(settings, "", "ops")
    assert refused.value.metadata["link"] == "https://id.example.com/ops"
    await config.delete(settings)
    assert played.deleted == [str(settings)]
    changes = config.changes()
    assert await anext(changes) == ()
    assert await anext(changes) == (SettingsName("acme", "a"), SettingsName("umbrella", "b"))
    with pytest.raises(Unavailable):
        await anext(changes)


class MarketplaceUnit(marketplace_pb2_grpc.MarketplaceServiceServicer):
    def __init__(self) -> None:
        self.recorded: list[tuple[str, str, str]] = []

    async def RecordInstallation(self, request: Any, context: Any) -> marketplace_pb2.RecordInstallationResponse:
        self.recorded.append((caller(context).org, request.installation, request.capability))
        return marketplace_pb2.RecordInstallationResponse()


async def test_the_marketplace_is_told_of_an_installation(reach: Reach) -> None:
    played = MarketplaceUnit()  # type: ignore[abstract]
    opened = await reach((marketplace_pb2_grpc.add_MarketplaceServiceServicer_to_server, played))
    await GrpcMarketplace(opened).record_installation(
        InstallationName("acme", "weather"), CapabilityName("publisher", "weather")
    )
    assert played.recorded == [("acme", "orgs/acme/installations/weather", "orgs/publisher/capabilities/weather")]
