"""What follows from an attempt that did not end well, and what DBOS may write and read of ours."""

import json
import pickle
from base64 import b64encode

import pytest

from hardpoint_kit.errors import (
    ActionFailed,
    Conflict,
    DeadlineExceeded,
    HardpointError,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from hardpoint_manifest.plan import Retry
from hardpoint_runtime.durable.serializer import JsonSerializer, WorkflowFailed
from hardpoint_runtime.service.outcomes import LONGEST_LOSS_SECONDS, MOST_LOSSES, Next, after, pause_seconds

LOST = Unavailable("the executor was lost")
LATE = DeadlineExceeded("too late", reason="TIMEOUT")
BUSY = ActionFailed("503", reason="UPSTREAM_ERROR", status="503")
GATEWAY = ActionFailed("504", reason="UPSTREAM_ERROR", status="504")
NO_HTTP = ActionFailed("not HTTP", reason="UPSTREAM_ERROR")
HUNG_UP = ActionFailed("hung up", reason="UPSTREAM_UNREACHABLE")
KILLED = ActionFailed("no memory", reason="MEMORY")
WRONG = ActionFailed("404", reason="UPSTREAM_ERROR", status="404")
DENIED = PermissionDenied("no", reason="HOST_NOT_GRANTED")
THREW = ActionFailed("it threw", reason="USER_ERROR")


@pytest.mark.parametrize(
    ("error", "repeatable", "attempts", "allowed", "what"),
    [
        (LOST, True, 1, 1, Next.AGAIN),
        (LOST, True, 1 + MOST_LOSSES, 1, Next.FAIL),
        (LOST, False, 1, 1, Next.DOUBT),
        (LATE, True, 1, 1, Next.FAIL),
        (LATE, True, 1, 2, Next.AGAIN),
        (LATE, False, 1, 1, Next.DOUBT),
        (BUSY, True, 1, 3, Next.AGAIN),
        (BUSY, True, 3, 3, Next.FAIL),
        (BUSY, False, 1, 3, Next.DOUBT),
        (BUSY, False, 1, 1, Next.FAIL),
        (GATEWAY, False, 1, 1, Next.DOUBT),
        (GATEWAY, True, 1, 1, Next.FAIL),
        (NO_HTTP, False, 1, 1, Next.DOUBT),
        (HUNG_UP, False, 1, 1, Next.DOUBT),
        (HUNG_UP, True, 1, 1, Next.FAIL),
        (KILLED, False, 1, 1, Next.DOUBT),
        (WRONG, True, 1, 3, Next.FAIL),
        (WRONG, False, 1, 3, Next.FAIL),
        (DENIED, True, 1, 3, Next.FAIL),
        (DENIED, False, 1, 3, Next.FAIL),
        (THREW, True, 1, 2, Next.AGAIN),
        (THREW, False, 1, 2, Next.DOUBT),
    ],
)
def test_what_began(error: HardpointError, repeatable: bool, attempts: int, allowed: int, what: Next) -> None:
    retry = Retry(attempts=allowed)
    assert after(error, began=True, repeatable=repeatable, attempts=attempts, retry=retry) is what


AWAY = ActionFailed("no connection", reason="UPSTREAM_UNREACHABLE", happened="no")
GREYLISTED = ActionFailed("not now", reason="MAIL_REFUSED", status="451", happened="no")
DEFERRED = ActionFailed("not now", reason="RECIPIENT_DEFERRED", status="450", happened="no")
REFUSED = ActionFailed("no such user", reason="RECIPIENT_REFUSED", status="550", happened="no")
THREW_FIRST = ActionFailed("it threw", reason="USER_ERROR", happened="no")


@pytest.mark.parametrize(
    ("error", "attempts", "allowed", "harmless", "what"),
    [
        (AWAY, 1, 3, False, Next.AGAIN),
        (AWAY, 1, 3, True, Next.AGAIN),
        (GREYLISTED, 1, 3, True, Next.AGAIN),
        (DEFERRED, 1, 3, True, Next.AGAIN),
        (DEFERRED, 3, 3, True, Next.DOUBT),
        (REFUSED, 1, 3, True, Next.FAIL),
        (THREW_FIRST, 1, 3, False, Next.AGAIN),
        (AWAY, 3, 3, True, Next.DOUBT),
        (AWAY, 4, 3, True, Next.DOUBT),
        (THREW_FIRST, 3, 3, False, Next.FAIL),
        (AWAY, 1, 1, False, Next.FAIL),
        (HUNG_UP, 1, 3, False, Next.DOUBT),
        (HUNG_UP, 1, 3, True, Next.DOUBT),
        (BUSY, 1, 3, True, Next.DOUBT),
        (BUSY, 1, 1, False, Next.FAIL),
        (LATE, 1, 3, True, Next.DOUBT),
    ],
)
def test_what_certainly_did_not_happen_is_repeated_whatever_it_is(
    error: HardpointError, attempts: int, allowed: int, harmless: bool, what: Next
) -> None:
    retry = Retry(attempts=allowed, harmless=harmless)
    assert after(error, began=True, repeatable=False, attempts=attempts, retry=retry) is what


def test_nobody_is_asked_about_a_read_that_failed() -> None:
    retry = Retry(attempts=3)
    assert after(AWAY, began=True, repeatable=True, attempts=3, retry=retry, reads=True) is Next.FAIL
    assert after(AWAY, began=True, repeatable=True, attempts=3, retry=retry, reads=False) is Next.DOUBT


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (Unavailable("none", reason="NO_EXECUTOR"), Next.AGAIN),
        (ResourceExhausted("full", reason="QUEUE_FULL"), Next.AGAIN),
        (Conflict("no such engine", reason="ENGINE_UNAVAILABLE"), Next.FAIL),
        (InvalidArgument("no such file", reason="FILE_UNKNOWN"), Next.FAIL),
    ],
)
def test_what_did_not_begin_is_never_in_doubt(error: HardpointError, what: Next) -> None:
    for repeatable in (True, False):
        assert after(error, began=False, repeatable=repeatable, attempts=1, retry=Retry()) is what


def test_pauses_grow_as_the_author_says_and_for_a_lost_executor_to_a_bound() -> None:
    assert [pause_seconds(False, n, 1.0, 3.0) for n in (1, 2, 3)] == [1.0, 3.0, 9.0]
    assert [pause_seconds(True, n, 1.0, 3.0) for n in (1, 2, 30)] == [0.5, 1.0, LONGEST_LOSS_SECONDS]


@pytest.mark.parametrize(("asked", "seconds"), [(None, 2.0), (1.0, 2.0), (60.0, 60.0), (1e9, 3600.0)])
def test_a_pause_is_no_shorter_than_the_upstream_asks(asked: float | None, seconds: float) -> None:
    assert pause_seconds(False, 2, 1.0, 2.0, asked) == seconds


def test_values_are_json_and_errors_are_errors() -> None:
    serializer = JsonSerializer()
    for value in (None, {"args": ["acme", "x", 1], "kwargs": {}}, [1.5, "\u0000", True]):
        text = serializer.serialize(value)
        json.loads(text)
        assert serializer.deserialize(text) == value
    failed = serializer.deserialize(serializer.serialize(ValueError("no")))
    assert isinstance(failed, WorkflowFailed)
    assert str(failed) == "ValueError: no"
    with pytest.raises(TypeError):
        serializer.serialize(object())
    with pytest.raises(json.JSONDecodeError):
        serializer.deserialize(b64encode(pickle.dumps({"value": 1})).decode())
