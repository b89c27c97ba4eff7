"""What a WebSocket lets through, what it refuses, and what hostile servers get from it."""

import asyncio
import json
import ssl
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from executor.brokers import Place, broker_of, client_of, resolving
from executor.sockets import Bytes, accepting, hostile, talking
from executor.spellings import ENCODINGS
from executor.test_broker_dial import certificate_of
from hardpoint_executor.broker.broker import Broker
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.limits import BrokerLimits

WSS = "wss://api.example.com/stream"
SECRET = "canary-7f3a9c51e2-do-not-sing"


@asynccontextmanager
async def brokered(place: str, **more: Any) -> AsyncIterator[Broker]:
    async with client_of({"api.example.com": Place(place)}) as client:
        broker = broker_of(client, **more)
        try:
            yield broker
        finally:
            broker.close()


async def opened(broker: Broker, url: str = WSS, **more: Any) -> int:
    number: int = (await broker.ask("websocket", "open", {"url": url, **more}))["socket"]
    return number


async def said(broker: Broker, socket: int, data: str) -> None:
    await broker.ask("websocket", "send", {"socket": socket, "data": data})


async def heard(broker: Broker, socket: int, **more: Any) -> Any:
    return await broker.ask("websocket", "receive", {"socket": socket, **more})


async def refused(broker: Broker, method: str, arguments: Mapping[str, Any]) -> BrokerDenied:
    with pytest.raises(BrokerDenied) as denied:
        await broker.ask("websocket", method, arguments)
    assert denied.value.message
    return denied.value


async def test_messages_go_both_ways_and_are_counted() -> None:
    async with talking(subprotocols=["b"]) as talk, brokered(talk.place) as broker:
        answer = await broker.ask("websocket", "open", {"url": WSS + "?a=1", "subprotocols": ["a", "b"]})
        assert answer == {"socket": 1, "subprotocol": "b"}
        await said(broker, 1, "héllo")
        assert await heard(broker, 1) == {"data": "héllo", "encoding": "utf-8"}
        await broker.ask("websocket", "send", {"socket": 1, "data": "/wA=", "encoding": "base64"})
        assert await heard(broker, 1) == {"data": "/wA=", "encoding": "base64"}
        await talk.connections[0].close(4001, "enough")
        assert await heard(broker, 1) == {"closed": {"code": 4001, "reason": "enough"}}
        assert (await refused(broker, "send", {"socket": 1, "data": "x"})).code == DenialCode.WEBSOCKET_CLOSED
        request = talk.connections[0].request
        assert request is not None
        names = {name.lower() for name, _ in request.headers.raw_items()} - {"traceparent"}
        fixed = {"sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol"}
        assert names == {"host", "upgrade", "connection", "user-agent", *fixed}
        assert (request.path, request.headers["host"]) == ("/stream?a=1", "api.example.com")
        assert talk.heard == ["héllo", b"\xff\x00"]
        assert broker.usage.calls == 1
        assert broker.usage.hosts == {"api.example.com"}
        assert broker.usage.permissions == {"network.websocket"}
        assert broker.usage.bytes_sent > 150
        assert broker.usage.bytes_received > 100


async def test_closing_is_agreed_upon_and_the_end_of_the_execution_closes() -> None:
    async with talking() as talk, brokered(talk.place) as broker:
        first, second = await opened(broker), await opened(broker)
        await broker.ask("websocket", "close", {"socket": first})
        await talk.connections[0].wait_closed()
        assert talk.connections[0].close_code == 1000
        assert talk.open == 1
        assert await heard(broker, first) == {"closed": {"code": 1000, "reason": ""}}
        waiting = asyncio.create_task(heard(broker, second))
        await said(broker, second, "still there")
        assert (await waiting)["data"] == "still there"
        broker.close()
        await talk.ended.wait()


async def test_secrets_are_filled_for_their_hosts_and_in_json_escaped() -> None:
    value = 'tok"en-7f3a9c51e2'
    async with talking(subprotocols=["bearer"]) as talk, brokered(talk.place, secrets={"KEY": value}) as broker:
        handle = broker.secrets.handles["KEY"]
        socket = await opened(
            broker, f"{WSS}?key={handle}", headers={"authorization": f"Bearer {handle}"}, subprotocols=["bearer"]
        )
        await said(broker, socket, json.dumps({"token": handle}))
        assert await heard(broker, socket) == {"data": '{"token": "[secret KEY]"}', "encoding": "utf-8"}
        request = talk.connections[0].request
        assert request is not None
        assert request.headers["authorization"] == f"Bearer {value}"
        assert request.path == "/stream?key=tok%22en-7f3a9c51e2"
        assert json.loads(talk.heard[0]) == {"token": value}
        misplaced = await refused(broker, "open", {"url": f"wss://api.example.com/{handle}"})
        assert misplaced.code == DenialCode.SECRET_MISPLACED
    async with brokered("127.0.0.1:1", secrets={"KEY": value}, secret_hosts=("other.example.com",)) as broker:
        wrong = await refused(broker, "open", {"url": WSS, "headers": {"x": broker.secrets.handles["KEY"]}})
        assert wrong.code == DenialCode.SECRET_NOT_FOR_HOST


async def test_an_echo_repeats_no_secret_in_any_spelling() -> None:
    async def repeat(connection: ServerConnection, message: str | bytes) -> None:
        secret, _, name = str(message).partition(" ")
        await connection.send(b"you said " + ENCODINGS[name](secret))

    limits = BrokerLimits(calls=len(ENCODINGS), messages=3 * len(ENCODINGS))
    async with talking(repeat) as talk, brokered(talk.place, secrets={"KEY": SECRET}, limits=limits) as broker:
        withheld: list[str] = []
        for name, encode in ENCODINGS.items():
            socket = await opened(broker)
            await said(broker, socket, f"{broker.secrets.handles['KEY']} {name}")
            try:
                answer = str(await heard(broker, socket))
            except BrokerDenied as denied:
                answer = str(denied.code)
                withheld.append(name)
            assert encode(SECRET).decode("latin-1") not in answer, name
            await broker.ask("websocket", "close", {"socket": socket})
        assert all(SECRET in str(message) for message in talk.heard)
        assert 0 < len(withheld) < len(ENCODINGS)


@pytest.mark.parametrize("wrap", [str, lambda part: json.dumps({"delta": part})], ids=["as it is", "in JSON"])
async def test_a_secret_in_two_messages_does_not_arrive(wrap: Any) -> None:
    async def halve(connection: ServerConnection, message: str | bytes) -> None:
        cut = int(str(message))
        for part in (SECRET[:cut], SECRET[cut:]):
            await connection.send(wrap(part))

    limits = BrokerLimits(calls=len(SECRET), messages=4 * len(SECRET))
    async with talking(halve) as talk, brokered(talk.place, secrets={"KEY": SECRET}, limits=limits) as broker:
        for cut in range(1, len(SECRET)):
            socket = await opened(broker)
            await said(broker, socket, str(cut))
            assert await heard(broker, socket) == {"data": wrap(SECRET[:cut]), "encoding": "utf-8"}
            denied = await refused(broker, "receive", {"socket": socket})
            assert (denied.code, denied.facts["secret"]) == (DenialCode.ANSWER_HOLDS_SECRET, "KEY")
            assert (await refused(broker, "send", {"socket": socket, "data": "x"})).code == DenialCode.WEBSOCKET_CLOSED


async def test_halves_that_are_received_at_once_are_looked_at_one_after_the_other() -> None:
    """What is large is searched on a thread: a small message must not overtake it."""

    async def halve(connection: ServerConnection, message: str | bytes) -> None:
        await connection.send(" " * 200_000 + SECRET[:14])
        await connection.send(SECRET[14:])

    async with talking(halve) as talk, brokered(talk.place, secrets={"KEY": SECRET}) as broker:
        socket = await opened(broker)
        await said(broker, socket, "go")
        both = await asyncio.gather(*(heard(broker, socket) for _ in range(2)), return_exceptions=True)
        assert both[0]["data"].strip() == SECRET[:14]
        assert isinstance(both[1], BrokerDenied)
        assert both[1].code == DenialCode.ANSWER_HOLDS_SECRET


async def test_the_words_of_a_close_are_scrubbed() -> None:
    async def leave(connection: ServerConnection, message: str | bytes) -> None:
        await connection.close(1000, SECRET)

    async with talking(leave) as talk, brokered(talk.place, secrets={"KEY": SECRET}) as broker:
        await said(broker, await opened(broker), "bye")
        assert await heard(broker, 1) == {"closed": {"code": 1000, "reason": "[secret KEY]"}}


@pytest.mark.parametrize(
    ("arguments", "code", "calls"),
    [
        ({"url": "https://api.example.com/"}, DenialCode.URL_REFUSED, 1),
        ({"url": "file:///etc/passwd"}, DenialCode.URL_REFUSED, 1),
        ({"url": "//api.example.com/"}, DenialCode.URL_REFUSED, 1),
        ({"url": "wss://api.example.com\r\nHost: evil.test/"}, DenialCode.URL_REFUSED, 1),
        ({"url": "wss://user@api.example.com/"}, DenialCode.USERINFO_REFUSED, 1),
        ({"url": "ws://127.0.0.1/"}, DenialCode.HOST_NOT_A_NAME, 1),
        ({"url": "ws://169.254.169.254/"}, DenialCode.HOST_NOT_A_NAME, 1),
        ({"url": "ws://[::1]/"}, DenialCode.HOST_NOT_A_NAME, 1),
        ({"url": "ws://2130706433/"}, DenialCode.HOST_NOT_A_NAME, 1),
        ({"url": "wss://evil.test/"}, DenialCode.HOST_NOT_GRANTED, 1),
        ({"url": "wss://api.example.com:8443/"}, DenialCode.HOST_NOT_GRANTED, 1),
        ({"url": "ws://api.example.com/"}, DenialCode.HOST_NOT_GRANTED, 1),
        ({"url": WSS, "headers": {"X-A": "1\r\nX-B: 2"}}, DenialCode.HEADER_REFUSED, 1),
        ({"url": WSS, "headers": {"X-A\r\nX-B": "1"}}, DenialCode.HEADER_REFUSED, 1),
        ({"url": WSS, "headers": {"Sec-WebSocket-Extensions": "permessage-deflate"}}, DenialCode.HEADER_REFUSED, 1),
        ({"url": WSS, "headers": {"Host": "evil.test"}}, DenialCode.HEADER_REFUSED, 1),
        ({"url": WSS, "headers": ["x"]}, DenialCode.INVALID_ARGUMENT, 1),
        ({"url": WSS, "subprotocols": ["a\r\nX-B: 2"]}, DenialCode.HEADER_REFUSED, 1),
        ({"url": WSS, "subprotocols": ["a, b"]}, DenialCode.HEADER_REFUSED, 1),
        ({"url": WSS, "subprotocols": ["a", "a"]}, DenialCode.HEADER_REFUSED, 1),
        ({"url": WSS, "subprotocols": "a"}, DenialCode.INVALID_ARGUMENT, 1),
        ({"url": 1}, DenialCode.INVALID_ARGUMENT, 1),
    ],
)
async def test_nothing_is_dialled_that_is_not_admitted(arguments: dict[str, Any], code: DenialCode, calls: int) -> None:
    async with talking() as talk, brokered(talk.place) as broker:
        assert (await refused(broker, "open", arguments)).code == code
        assert broker.usage.calls == calls
        assert talk.connections == []


async def test_it_needs_its_permission_and_names_it() -> None:
    async with talking() as talk, brokered(talk.place, permissions=frozenset({"network.http.get"})) as broker:
        denied = await refused(broker, "open", {"url": WSS})
        assert (denied.code, denied.facts["permission"]) == ("PERMISSION_NOT_GRANTED", "network.websocket")
        assert broker.usage.calls == 0


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1"])
async def test_a_name_of_a_private_address_is_not_dialled(address: str) -> None:
    async with client_of({}, resolving(["93.184.216.34", address])) as client:
        denied = await refused(broker_of(client), "open", {"url": WSS})
        assert denied.code == DenialCode.ADDRESS_NOT_PUBLIC


async def test_there_are_few_sockets_and_so_many_messages() -> None:
    limits = BrokerLimits(calls=100, messages=3)
    async with talking() as talk, brokered(talk.place, limits=limits) as broker:
        for _ in range(limits.sockets):
            await opened(broker)
        denied = await refused(broker, "open", {"url": WSS})
        assert (denied.code, denied.facts) == (DenialCode.BUDGET, {"budget": "websockets", "limit": "4"})
        await broker.ask("websocket", "close", {"socket": 1})
        assert await opened(broker) == 5
        assert (await refused(broker, "receive", {"socket": 2, "timeout": 0})).code == DenialCode.UPSTREAM_TIMEOUT
        await said(broker, 2, "late, and heard all the same")
        assert (await heard(broker, 2, timeout=5))["data"] == "late, and heard all the same"
        denied = await refused(broker, "send", {"socket": 2, "data": "x"})
        assert (denied.code, denied.facts["budget"]) == (DenialCode.BUDGET, "websocket_messages")


async def test_those_that_are_being_opened_count() -> None:
    async with talking() as talk, brokered(talk.place, limits=BrokerLimits(calls=100)) as broker:
        results = await asyncio.gather(*(opened(broker) for _ in range(12)), return_exceptions=True)
        assert sorted(result for result in results if isinstance(result, int)) == [1, 2, 3, 4]
        assert {result.code for result in results if isinstance(result, BrokerDenied)} == {DenialCode.BUDGET}
        assert len(talk.connections) == 4


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("receive", {"socket": 2}),
        ("receive", {"socket": True}),
        ("receive", {"socket": [1]}),
        ("receive", {"socket": 1, "timeout": "5"}),
        ("receive", {"socket": 1, "timeout": -1}),
        ("send", {"socket": 1, "data": None}),
        ("send", {"socket": 1, "data": "!", "encoding": "base64"}),
        ("send", {"socket": 1, "data": "x", "encoding": "latin-1"}),
    ],
)
async def test_arguments_that_mean_nothing_are_told(method: str, arguments: dict[str, Any]) -> None:
    async with talking() as talk, brokered(talk.place) as broker:
        await opened(broker)
        assert (await refused(broker, method, arguments)).code == DenialCode.INVALID_ARGUMENT


async def test_a_message_has_a_size() -> None:
    async with talking() as talk, brokered(talk.place, limits=BrokerLimits(message_bytes=1000)) as broker:
        socket = await opened(broker)
        denied = await refused(broker, "send", {"socket": socket, "data": "x" * 1001})
        assert denied.code == DenialCode.REQUEST_TOO_LARGE
        await said(broker, socket, "x" * 1000)
        assert (await heard(broker, socket))["data"] == "x" * 1000


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, compressed: bool = False) -> bytes:
    size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack("!H", len(data))
    return bytes([fin << 7 | compressed << 6 | opcode]) + size + data


def sending(*data: bytes, forever: bytes = b"") -> Bytes:
    """Open the WebSocket, send this, then the last part again and again, and hear nothing."""

    async def does(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(accepting(request) + b"".join(data))
        while forever:
            writer.write(forever)
            await writer.drain()
        await asyncio.Event().wait()

    return does


def answering(answer: bytes) -> Bytes:
    async def does(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return does


@pytest.mark.parametrize(
    ("does", "code"),
    [
        pytest.param(sending(frame(1, b"x" * 10, compressed=True)), "UPSTREAM_ERROR", id="compressed"),
        pytest.param(sending(b"\x81\x7f" + (1 << 40).to_bytes(8, "big")), "RESPONSE_TOO_LARGE", id="a terabyte"),
        pytest.param(
            sending(frame(1, b"x" * 600, fin=False), frame(0, b"x" * 600)), "RESPONSE_TOO_LARGE", id="in fragments"
        ),
        pytest.param(sending(frame(0, b"x")), "UPSTREAM_ERROR", id="a fragment of nothing"),
        pytest.param(sending(frame(1, b"\xff")), "UPSTREAM_ERROR", id="no text"),
        pytest.param(sending(frame(3, b"x")), "UPSTREAM_ERROR", id="no such frame"),
        pytest.param(sending(frame(8, b"\x03\xe8\xff")), "UPSTREAM_ERROR", id="closing words that are no text"),
        pytest.param(sending(frame(1, b"", fin=False), forever=frame(0, b"", fin=False) * 999), "BUDGET", id="endless"),
        pytest.param(sending(forever=frame(9, b"x" * 100) * 99), "BUDGET", id="pings, not reading the pongs"),
        pytest.param(sending(frame(9, b"") * 4000), "BUDGET", id="the smallest frames"),
        pytest.param(sending(), "UPSTREAM_TIMEOUT", id="silent"),
    ],
)
async def test_what_a_hostile_server_sends_ends_in_a_denial(does: Bytes, code: str) -> None:
    limits = BrokerLimits(message_bytes=1000, socket_bytes=200_000, call_seconds=1)
    async with hostile(does) as server, brokered(server.place, limits=limits) as broker:
        # What comes right behind the handshake may be read together with it.
        with pytest.raises(BrokerDenied) as denied:
            await heard(broker, await opened(broker))
        assert denied.value.code == code
        assert broker.usage.bytes_received < limits.socket_bytes + 2 * 64 * 1024


@pytest.mark.parametrize(
    ("does", "code"),
    [
        (answering(b""), "UPSTREAM_ERROR"),
        (answering(b"HTTP/1.1 302 Found\r\nLocation: wss://other.example.com/\r\nContent-Length: 0\r\n\r\n"),
         "REDIRECT_REFUSED"),
        (answering(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"), "UPSTREAM_ERROR"),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), "UPSTREAM_ERROR"),
        (answering(b"SSH-2.0-OpenSSH\r\n\r\n"), "UPSTREAM_ERROR"),
        (answering(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"), "UPSTREAM_ERROR"),
        (answering(b"HTTP/1.1 101 Go\r\n" + b"X: y\r\n" * 10_000), "UPSTREAM_ERROR"),
        (answering(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(300_000)), "BUDGET"),
    ],
    ids=["nothing", "a redirect", "401", "200", "another protocol", "a wrong key", "endless headers", "a large page"],
)  # fmt: skip
async def test_what_is_no_handshake_is_told(does: Bytes, code: str) -> None:
    limits = BrokerLimits(socket_bytes=200_000)
    async with hostile(does) as server, brokered(server.place, limits=limits) as broker:
        denied = await refused(broker, "open", {"url": WSS})
        assert denied.code == code
        assert "other.example.com" not in denied.message
        assert (await refused(broker, "receive", {"socket": 1})).code == DenialCode.INVALID_ARGUMENT


@pytest.mark.parametrize("header", ["Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Protocol: b"])
async def test_a_server_chooses_only_what_it_was_offered(header: str) -> None:
    async def does(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(accepting(request, header))

    async with hostile(does) as server, brokered(server.place) as broker:
        assert (await refused(broker, "open", {"url": WSS, "subprotocols": ["a"]})).code == DenialCode.UPSTREAM_ERROR


async def test_no_server_makes_us_wait() -> None:
    async def deaf(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(accepting(request))
        await asyncio.Event().wait()

    async def silent(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    limits = BrokerLimits(call_seconds=0.1)
    async with hostile(silent) as server, brokered(server.place, limits=limits) as broker:
        assert (await refused(broker, "open", {"url": WSS})).code == DenialCode.UPSTREAM_TIMEOUT
    limits = BrokerLimits(call_seconds=1)
    async with hostile(deaf) as server, brokered(server.place, limits=limits) as broker:
        first, second = await opened(broker), await opened(broker)
        await broker.ask("websocket", "close", {"socket": first})

        async def talk_on() -> None:
            for _ in range(50):
                await said(broker, second, "x" * limits.message_bytes)

        with pytest.raises(BrokerDenied) as denied:
            await talk_on()
        assert denied.value.code == DenialCode.UPSTREAM_TIMEOUT
        # What was not taken would lie in memory, so nothing more is sent over it.
        assert (await refused(broker, "send", {"socket": second, "data": "x"})).code == DenialCode.WEBSOCKET_CLOSED


@pytest.mark.parametrize("trusted", [True, False])
async def test_tls_is_checked_against_the_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trusted: bool) -> None:
    certificate, key = certificate_of("api.example.com", tmp_path)
    server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_tls.load_cert_chain(certificate, key)
    monkeypatch.setattr("hardpoint_kit.dial.public_address", lambda address: address == "127.0.0.1")
    async with talking(tls=server_tls) as talk, client_of({}, resolving(["127.0.0.1"])) as client:
        port = talk.place.rpartition(":")[2]
        broker = broker_of(client, hosts=(f"api.example.com:{port}",))
        if trusted:
            client.tls.load_verify_locations(certificate)
            socket = await opened(broker, f"wss://api.example.com:{port}/")
            await said(broker, socket, "hello")
            assert (await heard(broker, socket))["data"] == "hello"
            request = talk.connections[0].request
            assert request is not None
            assert request.headers["host"] == f"api.example.com:{port}"
            await broker.ask("websocket", "close", {"socket": socket})
        else:
            denied = await refused(broker, "open", {"url": f"wss://api.example.com:{port}/"})
            assert (denied.code, "certificate" in denied.message) == (DenialCode.UPSTREAM_UNREACHABLE, True)
            assert talk.connections == []
