"""What every RPC of every service can rely on: a verified caller, its rule, checked fields, health, a clean end."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from hardpoint_kit.caller import NOBODY, Caller, caller
from hardpoint_kit.errors import (
    Conflict,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from kit.echo import ECHO, OPEN, SHAPES, TICKETS, UNITS_ONLY, UNRULED, Echo, EchoServicer, call, echo_unit

MINE = "orgs/acme/agents/a"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Seeing(EchoServicer):
    """Keeps the callers it saw."""

    def __init__(self) -> None:
        self.seen: list[Caller] = []

    async def act(self, request: Any, context: Any) -> None:
        self.seen.append(caller(context))


@pytest.mark.parametrize("method", SHAPES)
async def test_use_case_sees_the_verified_caller(method: str, serve: Any, dial: Any) -> None:
    servicer = Seeing()
    server = await serve(echo_unit(servicer))
    answers = await call(dial(server), method, Echo(name=MINE, text="hi", request_id="r-1"))
    assert answers[0].text == "hi"
    assert servicer.seen == [Caller("ada", "acme", frozenset({"admin"}), request_id="r-1")]


@pytest.mark.parametrize("method", SHAPES)
async def test_callers_do_not_mix(method: str, serve: Any, dial: Any) -> None:
    servicer = Seeing()
    server = await serve(echo_unit(servicer))
    channels = {org: dial(server, org=org) for org in ("acme", "other", "third")}
    await asyncio.gather(
        *(call(channels[org], method, Echo(name=f"orgs/{org}/agents/a", request_id=org)) for org in [*channels] * 5)
    )
    assert sorted((seen.org, seen.request_id) for seen in servicer.seen) == sorted(
        (org, org) for org in [*channels] * 5
    )


@pytest.mark.parametrize("method", SHAPES)
async def test_no_token_is_unauthenticated(method: str, server: Any, dial: Any) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await call(dial(server, token=None), method, Echo(name=MINE))
    assert caught.value.fix


@pytest.mark.parametrize("method", SHAPES)
async def test_role_without_the_permission_is_denied(method: str, serve: Any, dial: Any) -> None:
    servicer = Seeing()
    server = await serve(echo_unit(servicer, OPEN))
    with pytest.raises(PermissionDenied) as caught:
        await call(dial(server, roles=("viewer",)), method, Echo(name=MINE), service=OPEN)
    assert caught.value.metadata == {"permission": "runtime.echoes.write", "roles": "viewer"}
    assert servicer.seen == []


@pytest.mark.parametrize("method", SHAPES)
async def test_another_orgs_resource_looks_missing(method: str, serve: Any, dial: Any) -> None:
    servicer = Seeing()
    server = await serve(echo_unit(servicer))
    theirs = "orgs/other/agents/a"
    with pytest.raises(NotFound) as caught:
        await call(dial(server), method, Echo(name=theirs))
    missing = NotFound("agent", theirs)
    assert (caught.value.message, caught.value.metadata) == (missing.message, missing.metadata)
    assert servicer.seen == []


@pytest.mark.parametrize("method", ["Up", "Both"])
async def test_later_messages_of_a_stream_are_held_to_the_org_too(method: str, serve: Any, dial: Any) -> None:
    servicer = Seeing()
    server = await serve(echo_unit(servicer))
    await call(dial(server), method, Echo(name=MINE), Echo(text="a chunk has no name"))
    with pytest.raises(NotFound):
        await call(dial(server), method, Echo(name=MINE), Echo(name="orgs/other/agents/a"))
    assert len(servicer.seen) == 3


@pytest.mark.parametrize("name", ["", "agents/a", "orgs/", "orgs/*/agents/a", "orgs/acme../agents"])
async def test_resource_must_be_named(name: str, server: Any, dial: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await call(dial(server), "One", Echo(name=name))
    assert list(caught.value.violations) == ["name"]


@pytest.mark.parametrize("method", SHAPES)
async def test_field_rules_are_checked(method: str, serve: Any, dial: Any) -> None:
    servicer = Seeing()
    server = await serve(echo_unit(servicer))
    with pytest.raises(InvalidArgument) as caught:
        await call(dial(server), method, Echo(name=MINE, text="x" * 1001))
    assert caught.value.violations == {"text": "must be at most 1000 characters"}
    assert servicer.seen == []


async def test_units_only(serve: Any, dial: Any) -> None:
    servicer = Seeing()
    server = await serve(echo_unit(servicer, UNITS_ONLY))
    with pytest.raises(PermissionDenied):
        await call(dial(server), "One", Echo(name=MINE), service=UNITS_ONLY)
    unit = dial(server, org="hardpoint", roles=("service",))
    who = (("hardpoint-org", "acme"), ("hardpoint-subject", "bob"))
    await call(unit, "One", Echo(name=MINE), service=UNITS_ONLY, metadata=who)
    assert servicer.seen == [Caller("bob", "acme", frozenset({"service"}), via="ada")]
    with pytest.raises(NotFound):
        await call(unit, "One", Echo(name="orgs/other/agents/a"), service=UNITS_ONLY, metadata=who)


@pytest.mark.parametrize("method", SHAPES)
async def test_ticket_needs_no_token_and_makes_no_caller(method: str, serve: Any, dial: Any) -> None:
    servicer = Seeing()
    server = await serve(echo_unit(servicer, TICKETS))
    await call(dial(server, token=None), method, Echo(), service=TICKETS)
    await call(dial(server, token="nonsense"), method, Echo(), service=TICKETS)
    assert servicer.seen == [NOBODY, NOBODY]


async def test_service_with_an_unruled_method_is_not_served(serve: Any) -> None:
    with pytest.raises(ValueError, match="UnruledService/Down has no rule"):
        await serve(echo_unit(EchoServicer(), UNRULED))


async def test_largest_message(serve: Any, dial: Any) -> None:
    server = await serve(echo_unit(EchoServicer(), TICKETS))
    with pytest.raises(InvalidArgument):
        await call(dial(server), "One", Echo(text="x" * 7 * 1024 * 1024), service=TICKETS)
    with pytest.raises(ResourceExhausted):
        await call(dial(server), "One", Echo(text="x" * 9 * 1024 * 1024), service=TICKETS)


async def health(channel: grpc.aio.Channel, service: str = "") -> int:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    return int((await stub.Check(health_pb2.HealthCheckRequest(service=service))).status)


async def test_health_follows_the_unit(serve: Any, dial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardpoint_kit.rpc.server.READY_SECONDS", 0.01)
    reasons = ["the database cannot be reached"]

    async def ready() -> list[str]:
        return reasons

    server = await serve(echo_unit(EchoServicer(), ready=ready), echo_unit(EchoServicer(), OPEN, name="other"))
    channel = dial(server, token=None)
    assert await health(channel, ECHO) == NOT_SERVING
    assert await health(channel) == NOT_SERVING
    assert await health(channel, OPEN) == SERVING
    stub: Any = health_pb2_grpc.HealthStub(channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service=ECHO), timeout=10)
    statuses = aiter(watch)
    assert (await anext(statuses)).status == NOT_SERVING
    reasons.clear()
    assert (await anext(statuses)).status == SERVING
    assert await health(channel) == SERVING
    await watch.aclose()


async def test_readiness_that_raises_is_not_serving(serve: Any, dial: Any) -> None:
    async def ready() -> list[str]:
        raise OSError("disk")

    server = await serve(echo_unit(EchoServicer(), ready=ready))
    assert await health(dial(server, token=None), ECHO) == NOT_SERVING


async def test_reflection_needs_no_token(server: Any, dial: Any) -> None:
    reflection: Any = reflection_pb2_grpc
    stub = reflection.ServerReflectionStub(dial(server, token=None))

    async def ask() -> Any:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    (answer,) = [answer async for answer in stub.ServerReflectionInfo(ask())]
    assert ECHO in {service.name for service in answer.list_services_response.service}


async def test_service_of_several_units_is_told_apart_by_metadata(serve: Any, dial: Any) -> None:
    first, second = Seeing(), Seeing()
    server = await serve(echo_unit(first, name="first"), echo_unit(second, name="second"))
    await call(dial(server), "One", Echo(name=MINE), metadata=(("hardpoint-unit", "second"),))
    assert (len(first.seen), len(second.seen)) == (0, 1)
    await call(dial(server), "One", Echo(name=MINE))
    assert (len(first.seen), len(second.seen)) == (1, 1)


async def test_taken_port_is_refused(server: Any, serve: Any) -> None:
    with pytest.raises(Conflict) as caught:
        await serve(echo_unit(EchoServicer()), listen=f"127.0.0.1:{server.port}")
    assert "HARDPOINT_LISTEN" in caught.value.fix


async def test_units_start_side_by_side_and_stop_in_reverse(serve: Any) -> None:
    events: list[str] = []
    both = asyncio.Barrier(2)

    def life(name: str) -> dict[str, Any]:
        async def start() -> None:
            async with asyncio.timeout(5):
                await both.wait()

        async def stop() -> None:
            events.append(f"{name} stops")

        return {"start": start, "stop": stop, "name": name}

    server = await serve(echo_unit(EchoServicer(), **life("a")), echo_unit(EchoServicer(), OPEN, **life("b")))
    await server.stop()
    assert events == ["b stops", "a stops"]


async def test_a_failed_start_stops_the_others_once_they_have_started(serve: Any) -> None:
    events: list[str] = []

    async def start() -> None:
        await asyncio.sleep(0)
        events.append("a started")

    async def stop() -> None:
        events.append("a stopped")

    async def fail() -> None:
        raise Unavailable("no database")

    with pytest.raises(Unavailable):
        await serve(
            echo_unit(EchoServicer(), name="a", start=start, stop=stop),
            echo_unit(EchoServicer(), OPEN, name="b", start=fail),
        )
    assert events == ["a started", "a stopped"]


async def test_stop_lets_running_calls_end(server: Any, servicer: Any, dial: Any) -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def act(request: Any, context: Any) -> None:
        arrived.set()
        await go.wait()

    servicer.act = act
    running = asyncio.create_task(call(dial(server), "One", Echo(name=MINE, text="made it")))
    await arrived.wait()
    stopping = asyncio.create_task(server.stop(grace=30))
    await asyncio.sleep(0)
    go.set()
    assert (await running)[0].text == "made it"
    await stopping
    with pytest.raises(Unavailable):
        await call(dial(server), "One", Echo(name=MINE))


async def test_stop_ends_calls_that_do_not(server: Any, servicer: Any, dial: Any) -> None:
    arrived, ended = asyncio.Event(), asyncio.Event()

    async def act(request: Any, context: Any) -> None:
        arrived.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    servicer.act = act
    running = asyncio.create_task(call(dial(server), "Down", Echo(name=MINE)))
    await arrived.wait()
    await server.stop(grace=0.05)
    await asyncio.wait_for(ended.wait(), 10)
    with pytest.raises(Unavailable):
        await running
