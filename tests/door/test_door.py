"""The door: what goes on to the runtime, and what is answered when that cannot be."""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardpoint_door.domain import MAX_BODY_BYTES, MOST_HEADERS, Said, Unreadable, passed_on
from hardpoint_door.peers import Runtime
from hardpoint_door.server import Options, assemble
from hardpoint_kit.errors import Conflict, DeadlineExceeded, HardpointError, Unavailable
from serving import SetClock


class FakeRuntime:
    """Says what it is told to say."""

    def __init__(self) -> None:
        self.said = Said(200, b"ok", "text/plain")
        self.fails: HardpointError | None = None
        self.came: list[tuple[str, dict[str, str], bytes, datetime]] = []

    async def deliver(self, token: str, headers: Mapping[str, str], body: bytes, at: datetime) -> Said:
        self.came.append((token, dict(headers), body, at))
        if self.fails is not None:
            raise self.fails
        return self.said


_runtime: type[Runtime] = FakeRuntime


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
async def door(runtime, clock, unused_tcp_port):
    """A client of an open door."""
    unit = assemble(Options(door_listen=f"127.0.0.1:{unused_tcp_port}"), clock, runtime)
    await unit.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{unused_tcp_port}") as client:
        yield client
    await unit.stop()


async def test_what_is_posted_goes_on_as_it_came(door, runtime, clock: SetClock):
    headers = {"X-Slack-Signature": "v0=1", "Content-Type": "application/json"}
    answer = await door.post("/hooks/t0ken?x=1", content=b'{"a": "\xc3\xa9"}', headers=headers)
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, "ok", "text/plain")
    assert runtime.came == [
        ("t0ken", {"x-slack-signature": "v0=1", "content-type": "application/json"}, b'{"a": "\xc3\xa9"}', clock.now())
    ]
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer x", "Cookie": "a=b"},
        {"X-Forwarded-For": "1.2.3.4", "X-Real-Ip": "1.2.3.4", "Forwarded": "for=1.2.3.4"},
        {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "hardpoint-org": "acme"},
    ],
)
async def test_credentials_and_what_proxies_add_do_not_go_on(door, runtime, headers):
    await door.post("/hooks/t0ken", content=b"{}", headers=headers)
    assert runtime.came[0][1] == {}


async def test_the_runtimes_word_is_the_answer(door, runtime):
    runtime.said = Said(401)
    refused = await door.post("/hooks/t0ken", content=b"{}")
    assert (refused.status_code, refused.content, "content-type" in refused.headers) == (401, b"", False)
    runtime.said = Said(429, retry_after=7)
    shed = await door.post("/hooks/t0ken", content=b"{}")
    assert (shed.status_code, shed.headers["retry-after"]) == (429, "7")


@pytest.mark.parametrize("error", [Unavailable("away"), DeadlineExceeded("late"), Conflict("odd")])
async def test_when_nobody_can_say_the_sender_tries_again(door, runtime, error):
    runtime.fails = error
    answer = await door.post("/hooks/t0ken", content=b"{}")
    assert (answer.status_code, answer.content, answer.headers["retry-after"]) == (503, b"", "5")


async def test_a_body_is_as_large_as_it_may_be_and_no_larger(door, runtime):
    assert (await door.post("/hooks/t0ken", content=b"x" * MAX_BODY_BYTES)).status_code == 200

    async def chunks():
        for _ in range(MAX_BODY_BYTES // 65536 + 1):
            yield b"x" * 65536

    assert (await door.post("/hooks/t0ken", content=chunks())).status_code == 413
    assert len(runtime.came) == 1


async def test_a_request_of_two_lengths_reaches_nobody(door, runtime):
    reader, writer = await asyncio.open_connection(door.base_url.host, door.base_url.port)
    writer.write(b"POST /hooks/t0ken HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400")
    assert runtime.came == []


@pytest.mark.parametrize("listen", ["127.0.0.1:{taken}", "127.0.0.1:99999", "127.0.0.1", "no-such-host.invalid:80"])
async def test_a_port_that_cannot_be_had_is_said(door, runtime, clock, listen):
    unit = assemble(Options(door_listen=listen.format(taken=door.base_url.port)), clock, runtime)
    with pytest.raises(Conflict) as refused:
        await unit.start()
    assert "HARDPOINT_DOOR_LISTEN" in refused.value.fix


async def test_a_door_that_is_not_open_is_not_ready(runtime, clock, unused_tcp_port):
    unit = assemble(Options(door_listen=f"127.0.0.1:{unused_tcp_port}"), clock, runtime)
    assert await unit.ready()
    await unit.start()

    async def opened() -> None:
        while await unit.ready():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(opened(), 10)
    await unit.stop()
    assert await unit.ready()


@given(st.lists(st.tuples(st.binary(max_size=30), st.binary(max_size=60)), max_size=60))
def test_headers_go_on_at_most_once_and_in_small_letters(headers):
    with contextlib.suppress(Unreadable):
        found = passed_on(headers)
        assert len(found) <= MOST_HEADERS
        assert all(name == name.lower() and text.isascii() for name, text in found.items())


@pytest.mark.parametrize(
    ("name", "goes"),
    [
        ("Content-Type", True),
        ("X-Signature", True),
        ("Stripe-Signature", True),
        ("Webhook-Id", True),
        ("Linear-Delivery", True),
        ("Sentry-Hook-Timestamp", True),
        ("Twitch-Eventsub-Message-Id", True),
        ("X-Forwarded-For", False),
        ("X-Request-Id", False),
        ("Request-Id", False),
        ("Authorization", False),
        ("Cookie", False),
    ],
)
def test_what_senders_say_goes_on_and_nothing_of_a_proxy(name, goes):
    assert passed_on([(name.encode(), b"a")]) == ({name.lower(): "a"} if goes else {})


def test_a_header_that_comes_twice_is_refused():
    with pytest.raises(Unreadable):
        passed_on([(b"x-slack-signature", b"a"), (b"X-Slack-Signature", b"b")])
    with pytest.raises(Unreadable):
        passed_on([(f"x-{number}".encode(), b"a") for number in range(MOST_HEADERS + 1)])
    assert passed_on([(b"cookie", b"a"), (b"cookie", b"b")]) == {}
