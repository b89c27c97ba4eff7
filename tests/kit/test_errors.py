"""An error raised in a handler arrives as the same class with the same facts, whatever the kind of the RPC."""

import asyncio
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardpoint.errors.v1 import error_reason_pb2
from hardpoint_kit import errors
from hardpoint_kit.errors import HardpointError, InvalidArgument, NotFound, Unauthenticated
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.rpc.status import from_rpc_error, from_status, to_status
from kit.echo import SHAPES, Echo, call

CLASSES = [
    found
    for found in vars(errors).values()
    if isinstance(found, type) and issubclass(found, HardpointError) and found is not HardpointError
]
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
facts = st.dictionaries(st.sampled_from(["resource", "state", "limit", "permission"]), texts.filter(bool))


def known(error: HardpointError) -> tuple[object, ...]:
    return (
        type(error),
        error.message,
        error.reason,
        error.fix,
        error.place,
        error.metadata,
        error.violations,
        error.retry_after,
    )


@given(
    st.sampled_from(CLASSES),
    texts,
    st.sampled_from(error_reason_pb2.ErrorReason.keys()),
    texts,
    texts,
    facts,
    st.dictionaries(texts, texts, max_size=5),
    st.none() | st.integers(0, 10**9).map(lambda milliseconds: milliseconds / 1000),
)
def test_status_and_back_is_the_same_error(
    kind: type[HardpointError],
    message: str,
    reason: str,
    fix: str,
    place: str,
    metadata: dict[str, str],
    violations: dict[str, str],
    retry_after: float | None,
) -> None:
    error = kind.received(
        message,
        reason=reason,
        fix=fix,
        place=place,
        retry_after=retry_after,
        metadata=metadata,
        violations=violations,
    )
    assert known(from_status(to_status(error))) == known(error)


@pytest.mark.parametrize("kind", CLASSES)
def test_default_reason_is_in_the_proto(kind: type[HardpointError]) -> None:
    assert error_reason_pb2.ErrorReason.Value(kind.default_reason)


def test_violations_make_the_message_and_the_place() -> None:
    error = InvalidArgument({"manifest.actions[0].id": "must be kebab-case", "page_size": "too large"})
    assert error.message == "manifest.actions[0].id: must be kebab-case; page_size: too large"
    assert error.place == "manifest.actions[0].id"


def test_status_fits_into_headers() -> None:
    error = InvalidArgument({f"field_{number}": "x" * 10_000 for number in range(1000)}, fix="y" * 10_000)
    status = to_status(error)
    assert 16_000 < status.ByteSize() < 32_000
    assert from_status(status).violations["field_0"].startswith("xxx")


@pytest.mark.parametrize("method", SHAPES)
async def test_error_crosses_the_wire(method: str, server: Any, servicer: Any, dial: Any) -> None:
    raised = errors.ActionFailed(
        "it broke", reason="USER_ERROR", fix="mend it", place="plugin.js:12:9", run="orgs/acme/runs/r"
    )

    async def act(request: Any, context: Any) -> None:
        raise raised

    servicer.act = act
    with pytest.raises(errors.ActionFailed) as caught:
        await call(dial(server), method, Echo(name="orgs/acme/agents/a"))
    assert known(caught.value) == known(raised)


async def test_violations_and_retry_cross_the_wire(server: Any, servicer: Any, dial: Any) -> None:
    for raised in (
        InvalidArgument({"a": "is wrong", "b[1].c": "is wrong too"}),
        errors.ResourceExhausted("too many", retry_after=2.5),
        NotFound("agent", "orgs/acme/agents/ä"),
        InvalidArgument({f"field_{number}": "ä" * 100 for number in range(50)}),
    ):

        async def act(request: Any, context: Any, raised: HardpointError = raised) -> None:
            raise raised

        servicer.act = act
        with pytest.raises(type(raised)) as caught:
            await call(dial(server), "One", Echo(name="orgs/acme/agents/a"))
        assert caught.value.violations == raised.violations
        assert caught.value.retry_after == raised.retry_after
        assert caught.value.metadata == raised.metadata


@pytest.mark.parametrize("method", SHAPES)
async def test_defect_tells_the_trace_and_nothing_else(
    method: str, server: Any, servicer: Any, dial: Any, caplog: Any
) -> None:
    async def act(request: Any, context: Any) -> None:
        raise ZeroDivisionError("hunter2")

    servicer.act = act
    with pytest.raises(errors.Internal) as caught:
        await call(dial(server), method, Echo(name="orgs/acme/agents/a"))
    assert "hunter2" not in str(known(caught.value))
    assert len(caught.value.metadata["trace"]) == 32
    (line,) = (record for record in caplog.records if record.name == "hardpoint_kit.rpc.gate")
    assert "hunter2" in str(line.msg["exc_info"])


async def test_leaked_error_of_a_peer_keeps_its_class_only(server: Any, servicer: Any, dial: Any) -> None:
    async def act(request: Any, context: Any) -> None:
        raise grpc.aio.AioRpcError(
            grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), grpc.aio.Metadata(), "no such row", "debug: 10.0.0.7"
        )

    servicer.act = act
    with pytest.raises(NotFound) as caught:
        await call(dial(server), "One", Echo(name="orgs/acme/agents/a"))
    assert "10.0.0.7" not in str(known(caught.value))


def test_a_message_that_is_too_large_says_how_large_it_may_be() -> None:
    nothing = grpc.aio.Metadata()
    said = "CLIENT: Sent message larger than max (9000067 vs. 8388608)"
    error = from_rpc_error(grpc.aio.AioRpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, nothing, nothing, said))
    assert error.message == "a message of 9,000,067 bytes was to be sent; one has at most 8,388,608"
    assert (error.reason, bool(error.fix)) == ("RESOURCE_EXHAUSTED", True)


def test_a_call_that_a_stopping_server_drops_is_unavailable() -> None:
    nothing = grpc.aio.Metadata()
    error = from_rpc_error(grpc.aio.AioRpcError(grpc.StatusCode.CANCELLED, nothing, nothing, details="CANCELLED"))
    assert isinstance(error, errors.Unavailable)


async def test_peer_refusing_our_token_is_not_the_callers_fault(server: Any, servicer: Any, dial: Any) -> None:
    async def act(request: Any, context: Any) -> None:
        raise from_status(to_status(Unauthenticated("no token")))

    servicer.act = act
    with pytest.raises(errors.Internal):
        await call(dial(server), "One", Echo(name="orgs/acme/agents/a"))


async def test_ticket_refused_here_stays_unauthenticated(server: Any, servicer: Any, dial: Any) -> None:
    async def act(request: Any, context: Any) -> None:
        raise Unauthenticated("spent", reason="TICKET_INVALID")

    servicer.act = act
    with pytest.raises(Unauthenticated) as caught:
        await call(dial(server), "One", Echo(name="orgs/acme/agents/a"))
    assert caught.value.reason == "TICKET_INVALID"


@pytest.mark.parametrize(
    ("inner", "seen"), [(TimeoutError, errors.DeadlineExceeded), (asyncio.CancelledError, errors.Cancelled)]
)
@pytest.mark.parametrize("method", SHAPES)
async def test_inner_waits_that_end_are_answered(
    method: str, inner: type[BaseException], seen: type[HardpointError], server: Any, servicer: Any, dial: Any
) -> None:
    async def act(request: Any, context: Any) -> None:
        raise inner

    servicer.act = act
    with pytest.raises(seen):
        await call(dial(server), method, Echo(name="orgs/acme/agents/a"))


@pytest.mark.parametrize("method", SHAPES)
async def test_deadline_ends_both_sides(method: str, server: Any, servicer: Any, dial: Any) -> None:
    ended = asyncio.Event()

    async def act(request: Any, context: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    servicer.act = act
    with pytest.raises(errors.DeadlineExceeded):
        await call(dial(server), method, Echo(name="orgs/acme/agents/a"), timeout=0.3)
    await asyncio.wait_for(ended.wait(), 10)


async def test_unknown_method_is_unimplemented(server: Any, dial: Any) -> None:
    with pytest.raises(errors.Unimplemented):
        await call(dial(server), "One", Echo(), service="hardpoint.kittest.v1.Nowhere")


async def test_nobody_listening_is_unavailable_with_a_fix() -> None:
    async with channel("127.0.0.1:1") as nowhere:
        with pytest.raises(errors.Unavailable) as caught:
            await call(nowhere, "One", Echo())
    assert caught.value.reason == "UNAVAILABLE"
    assert caught.value.fix
