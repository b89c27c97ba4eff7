"""A channel repeats what may be repeated and nothing else, and says for whom it calls."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest

from hardpoint.config.v1 import config_pb2
from hardpoint_kit.caller import SYSTEM, Caller, acting_as, caller
from hardpoint_kit.errors import DeadlineExceeded, InvalidArgument, Unavailable
from hardpoint_kit.rpc.client import ATTEMPTS, repeatable
from kit.echo import SHAPES, UNITS_ONLY, Echo, EchoServicer, call, echo_unit

MINE = "orgs/acme/agents/a"


class Failing(EchoServicer):
    """Is unavailable for the first `times` calls."""

    def __init__(self, times: int, error: Exception | None = None) -> None:
        self.left = times
        self.calls = 0
        self.error = error or Unavailable("not now")

    async def act(self, request: Any, context: Any) -> None:
        self.calls += 1
        if self.calls <= self.left:
            raise self.error


@pytest.mark.parametrize(("method", "request_id"), [("Read", ""), ("One", "r-1")])
async def test_safe_calls_are_repeated(method: str, request_id: str, serve: Any, dial: Any) -> None:
    servicer = Failing(ATTEMPTS - 1)
    server = await serve(echo_unit(servicer))
    (answer,) = await call(dial(server), method, Echo(name=MINE, text="hi", request_id=request_id))
    assert answer.text == "hi"
    assert servicer.calls == ATTEMPTS


async def test_safe_calls_are_not_repeated_for_ever(serve: Any, dial: Any) -> None:
    servicer = Failing(100)
    server = await serve(echo_unit(servicer))
    with pytest.raises(Unavailable):
        await call(dial(server), "Read", Echo(name=MINE))
    assert servicer.calls == ATTEMPTS


@pytest.mark.parametrize("method", SHAPES)
async def test_other_calls_are_made_once(method: str, serve: Any, dial: Any) -> None:
    servicer = Failing(1)
    server = await serve(echo_unit(servicer))
    with pytest.raises(Unavailable):
        await call(dial(server), method, Echo(name=MINE))
    assert servicer.calls == 1


async def test_only_unavailable_is_repeated(serve: Any, dial: Any) -> None:
    servicer = Failing(1, InvalidArgument("no"))
    server = await serve(echo_unit(servicer))
    with pytest.raises(InvalidArgument):
        await call(dial(server), "Read", Echo(name=MINE))
    assert servicer.calls == 1


class Refusing(EchoServicer):
    """Refuses a call at one of its messages."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.ended = 0

    async def Up(self, requests: AsyncIterator[Any], context: Any) -> Any:
        met = 0
        async for request in requests:
            met += 1
            if met == self.at:
                raise InvalidArgument(f"no {request.text}")
        self.ended += 1
        return Echo()


@pytest.fixture
def losing(monkeypatch: Any) -> Any:
    """`losing(channel, [3, 2])`: the answer of its first upload is lost after three messages, of the next after two."""

    def lose(channel: Any, after: list[int]) -> None:
        method = channel._wire.stream_unary

        def stream_unary(*given: Any, **options: Any) -> Any:
            call = method(*given, **options)

            async def make(requests: AsyncIterator[Any], **options: Any) -> Any:
                if not after:
                    return await call(requests, **options)
                left = after.pop(0)
                async for _ in requests:
                    left -= 1
                    if not left:
                        break
                raise grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, None, None, "Internal error from Core")  # type: ignore[arg-type]

            return make

        monkeypatch.setattr(channel._wire, "stream_unary", stream_unary)

    return lose


@pytest.mark.parametrize(("at", "most"), [(1, 10_000), (3, 10_000), (1, 1)])
async def test_a_refusal_that_the_library_lost_is_asked_for_again(
    at: int, most: int, serve: Any, dial: Any, losing: Any, monkeypatch: Any
) -> None:
    """grpc.aio loses one of some forty, when a refusal comes while it writes: here it loses the first two.

    What was written is written again, and no end of what was cut short; of much the first message, and its end.
    """
    monkeypatch.setattr("hardpoint_kit.rpc.client._AGAIN_BYTES", most)
    refusing = Refusing(at)
    channel = dial(await serve(echo_unit(refusing)))
    losing(channel, [at + 2, at])
    with pytest.raises(InvalidArgument, match=f"no {at}$"):
        await call(channel, "Up", *(Echo(name=MINE, text=str(number)) for number in range(1, 100)))
    assert refusing.ended == 0


async def test_what_was_written_to_its_end_has_an_end_again(serve: Any, dial: Any, losing: Any) -> None:
    refusing = Refusing(0)
    channel = dial(await serve(echo_unit(refusing)))
    losing(channel, [100])
    assert await call(channel, "Up", Echo(name=MINE), Echo()) == [Echo()]
    assert refusing.ended == 1


async def test_repeating_ends_with_the_time_allowed(serve: Any, dial: Any) -> None:
    servicer = Failing(100, Unavailable("come back tomorrow", retry_after=86_400))
    server = await serve(echo_unit(servicer))
    with pytest.raises(Unavailable) as caught:
        await call(dial(server), "Read", Echo(name=MINE))
    assert caught.value.retry_after == 86_400
    assert servicer.calls == 1


def test_repeatable_by_descriptor() -> None:
    service = "/hardpoint.config.v1.ConfigService"
    assert repeatable(f"{service}/GetSecret", config_pb2.GetSecretRequest())
    assert not repeatable(f"{service}/CreateSecret", config_pb2.CreateSecretRequest())
    assert repeatable(f"{service}/CreateSecret", config_pb2.CreateSecretRequest(request_id="r"))
    assert not repeatable(f"{service}/Unheard", config_pb2.GetSecretRequest())


async def test_call_without_a_timeout_has_one(server: Any, servicer: Any, dial: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("hardpoint_kit.rpc.client.CALL_SECONDS", 0.2)

    async def act(request: Any, context: Any) -> None:
        await asyncio.Event().wait()

    servicer.act = act
    with pytest.raises(DeadlineExceeded) as late:
        await call(dial(server), "One", Echo(name=MINE))
    assert (late.value.message, bool(late.value.fix)) == ("no answer came in time", True)


async def test_token_is_asked_for_every_call(server: Any, keys: Any, dial: Any) -> None:
    tokens = iter([keys.mint("ada", "acme", ["viewer"]), keys.mint("bob", "other", ["viewer"])])
    channel = dial(server, token=lambda: next(tokens))
    await call(channel, "One", Echo(name=MINE))
    await call(channel, "One", Echo(name="orgs/other/agents/a"))
    assert next(tokens, None) is None


@pytest.mark.parametrize("method", SHAPES)
async def test_unit_calls_on_its_callers_behalf(method: str, serve: Any, dial: Any) -> None:
    seen: list[Caller] = []

    class Seeing(EchoServicer):
        async def act(self, request: Any, context: Any) -> None:
            seen.append(caller(context))

    server = await serve(echo_unit(Seeing(), UNITS_ONLY))
    channel = dial(server, org="hardpoint", roles=("service",), act_for=True)
    with acting_as(Caller("bob", "acme", frozenset({"viewer"}))):
        await call(channel, method, Echo(name=MINE), service=UNITS_ONLY)
    with acting_as(SYSTEM("acme")):
        await call(channel, method, Echo(name=MINE), service=UNITS_ONLY)
    with acting_as(SYSTEM()):
        await call(channel, method, Echo(name="orgs/hardpoint/agents/a"), service=UNITS_ONLY)
    assert [(who.subject, who.org, who.via) for who in seen] == [
        ("bob", "acme", "ada"),
        ("system", "acme", "ada"),
        ("ada", "hardpoint", ""),
    ]


@pytest.mark.parametrize("method", ["Down", "Both"])
async def test_stream_can_be_left(method: str, server: Any, servicer: Any, dial: Any) -> None:
    stays, ended = asyncio.Event(), asyncio.Event()

    async def act(request: Any, context: Any) -> None:
        try:
            if request.text == "stay":
                stays.set()
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.set()
            raise

    servicer.act = act

    async def requests() -> Any:
        yield Echo(name=MINE)
        yield Echo(name=MINE, text="stay")

    channel = dial(server)
    path = f"/hardpoint.kittest.v1.EchoService/{method}"
    if method == "Down":
        stub = channel.unary_stream(path, Echo.SerializeToString, Echo.FromString)(Echo(name=MINE, text="stay"))
    else:
        stub = channel.stream_stream(path, Echo.SerializeToString, Echo.FromString)(requests())
    assert (await anext(stub)).name == MINE
    await asyncio.wait_for(stays.wait(), 10)
    await stub.aclose()
    await asyncio.wait_for(ended.wait(), 10)


@pytest.mark.parametrize("method", SHAPES)
async def test_cancelled_caller_cancels_the_call(method: str, server: Any, servicer: Any, dial: Any) -> None:
    arrived, ended = asyncio.Event(), asyncio.Event()

    async def act(request: Any, context: Any) -> None:
        arrived.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    servicer.act = act
    running = asyncio.create_task(call(dial(server), method, Echo(name=MINE), timeout=100))
    await arrived.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.wait_for(ended.wait(), 10)


async def test_channel_finds_a_restarted_server(servicer: Any, serve: Any, dial: Any) -> None:
    first = await serve(echo_unit(servicer))
    channel = dial(first)
    await call(channel, "Read", Echo(name=MINE))
    await first.stop(0)
    with pytest.raises(Unavailable):
        await call(channel, "One", Echo(name=MINE))
    await serve(echo_unit(servicer), listen=f"127.0.0.1:{first.port}")
    await call(channel, "One", Echo(name=MINE), wait_for_ready=True)
