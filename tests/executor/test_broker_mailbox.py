"""What the service `email` reads, through a real IMAP server, and through servers that are none."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from executor.brokers import Place, broker_of, client_of, resolving
from executor.mailbox import USER, Box, mailbox
from executor.test_broker_dial import certificate_of
from hardpoint_executor.broker.broker import Broker
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.limits import BrokerLimits

PASSWORD = 'canary-"61\\ae90f2'
HOST = "mail.example.com"
QUOTED = "canary-%2261%5Cae90f2"
URL = f"imap://{USER.replace('@', '%40')}:{QUOTED}@{HOST}"
Maker = Callable[..., Broker]


def mail(subject: str, sender: str = "bob@example.org", body: str = "Hello") -> bytes:
    lines = [f"From: Bob <{sender}>", f"Subject: {subject}", "To: ada@example.com", "X-Other: no", "", body, ""]
    return "\r\n".join(lines).encode()


def maker_of(client: Any) -> Maker:
    def maker(**rest: Any) -> Broker:
        usual: dict[str, Any] = {"permissions": frozenset({"integration.email"}), "secrets": {"IMAP_URL": URL}}
        return broker_of(client, **usual | rest)

    return maker


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Box, Maker]]:
    async with mailbox(PASSWORD) as box, client_of({HOST: Place(box.place)}) as client:
        yield box, maker_of(client)


async def refused(broker: Broker, method: str, **arguments: Any) -> BrokerDenied:
    with pytest.raises(BrokerDenied) as denied:
        await broker.ask("email", method, arguments)
    said = denied.value.message + denied.value.fix + str(denied.value.facts)
    assert denied.value.fix
    assert PASSWORD not in said
    assert HOST not in said
    return denied.value


def subjects(found: dict[str, Any]) -> list[str]:
    return [
        line.removeprefix("Subject: ")
        for message in found["messages"]
        for line in message["header"].splitlines()
        if line.startswith("Subject: ")
    ]


async def test_mails_are_found_the_newest_first_read_whole_and_stay_unseen() -> None:
    async with served() as (box, maker):
        await box.deliver(mail("Invoice 1"), day=1)
        await box.deliver(mail("Lunch", "eve@example.org"), "INBOX", "\\Seen", day=2)
        await box.deliver(mail("Invoice 2", body="x" * 700_000), day=3)
        await box.deliver(mail("Sp\u00e4t"), "Rechnungen f\u00fcr & mit Ada", day=3)

        async def search(**arguments: Any) -> dict[str, Any]:
            found: dict[str, Any] = await maker().ask("email", "search", arguments)
            return found

        found = await search()
        assert (subjects(found), found["more"]) == (["Invoice 2", "Lunch", "Invoice 1"], False)
        assert [message["seen"] for message in found["messages"]] == [False, True, False]
        assert "X-Other" not in str(found)
        assert subjects(await search(limit=1)) == ["Invoice 2"]
        assert (await search(limit=1))["more"] is True
        assert subjects(await search(subject="invoice", since="2026-03-02")) == ["Invoice 2"]
        assert subjects(await search(**{"from": "eve@example.org"})) == ["Lunch"]
        assert subjects(await search(unseen=True)) == ["Invoice 2", "Invoice 1"]
        assert subjects(await search(before="2026-03-02")) == ["Invoice 1"]
        assert subjects(await search(text="xxx")) == ["Invoice 2"]
        assert subjects(await search(to="ada@", subject="lunch")) == ["Lunch"]
        assert subjects(await search(to="eve@")) == []
        assert subjects(await search(subject="nothing")) == []
        late = await search(folder="Rechnungen f\u00fcr & mit Ada", subject="Sp\u00e4t")
        assert len(late["messages"]) == 1

        large, mine = found["messages"][0], maker()
        first = await mine.ask("email", "fetch", {"message": large["message"]})
        rest = await mine.ask("email", "fetch", {"message": large["message"], "offset": 512 * 1024})
        whole = base64.b64decode(first["data"]) + base64.b64decode(rest["data"])
        assert whole == mail("Invoice 2", body="x" * 700_000)
        assert (first["size"], large["size"]) == (len(whole), len(whole))
        assert (mine.usage.calls, mine.usage.permissions) == (1, {"integration.email"})
        assert mine.usage.bytes_received > 700_000
        mine = maker()
        both = (mine.ask("email", "fetch", {"message": large["message"]}) for _ in range(2))
        assert await asyncio.gather(*both) == [first, first]
        assert mine.usage.calls == 1
        assert (await maker().ask("email", "search", {}))["messages"][0]["seen"] is False


async def test_what_is_not_there_or_not_allowed_is_said() -> None:
    async with served() as (box, maker):
        await box.deliver(mail("Large", body="x" * 30_000))
        [found] = (await maker().ask("email", "search", {}))["messages"]
        assert (await refused(maker(), "search", folder="Nowhere")).code == DenialCode.MAIL_NOT_FOUND
        validity, uid = found["message"].split(".")
        for gone in (f"{validity}.{int(uid) + 1}", f"{int(validity) + 1}.{uid}"):
            assert (await refused(maker(), "fetch", message=gone)).code == DenialCode.MAIL_NOT_FOUND
        small = maker(limits=BrokerLimits(mail_bytes=-240_000))  # with what a server may say besides, 22,144
        assert (await refused(small, "fetch", message=found["message"])).code == DenialCode.RESPONSE_TOO_LARGE
        denied = await refused(maker(permissions=frozenset({"file.read"})), "search")
        assert (denied.code, denied.facts["permission"]) == (DenialCode.PERMISSION_NOT_GRANTED, "integration.email")
        denied = await refused(maker(permissions=frozenset({"file.read"})), "fetch", message=found["message"])
        assert denied.code == DenialCode.PERMISSION_NOT_GRANTED
        assert (await refused(maker(secrets={}), "search")).code == DenialCode.SETTING_MISSING
        stranger = maker(secrets={"IMAP_URL": f"imap://ada:wrong-{QUOTED}@{HOST}"})
        assert (await refused(stranger, "search")).code == DenialCode.LOGIN_REFUSED


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("search", {"folder": "INBOX\r\na9 DELETE INBOX"}),
        ("search", {"subject": 'x"\r\na9 LOGOUT'}),
        ("search", {"from": "x\x00y"}),
        ("search", {"from": "x\ny"}),
        ("search", {"subject": "\ud800"}),
        ("search", {"subject": "x" * 201}),
        ("search", {"subject": 7}),
        ("search", {"since": "1-Mar-2026 ALL"}),
        ("search", {"limit": 51}),
        ("search", {"limit": True}),
        ("fetch", {"message": "1:*"}),
        ("fetch", {"message": "1.1\r\na9 LOGOUT"}),
        ("fetch", {"message": "1.1", "offset": -1}),
        ("fetch", {}),
        ("store", {}),
    ],
)
async def test_no_value_begins_a_command(method: str, arguments: dict[str, Any]) -> None:
    async with client_of({}) as client:
        broker = maker_of(client)()
        denied = await refused(broker, method, **arguments)
        assert denied.code in (DenialCode.INVALID_ARGUMENT, DenialCode.SERVICE_UNKNOWN)
        assert broker.usage.calls == 0


async def test_quotes_and_backslashes_are_searched_for_and_end_nothing() -> None:
    async with served() as (box, maker):
        await box.deliver(mail('He said "yes \\ no"'))
        await box.deliver(mail("Other"))
        assert len((await maker().ask("email", "search", {"subject": '"yes \\ no"'}))["messages"]) == 1
        assert (await maker().ask("email", "search", {"subject": '" ALL "'}))["messages"] == []


@pytest.mark.parametrize("scheme", ["imap", "imaps"])
async def test_mail_is_read_under_tls_or_not_at_all(scheme: str, tmp_path: Path) -> None:
    certificate, key = certificate_of(HOST, tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    async with mailbox(PASSWORD, tls, at_once=scheme == "imaps") as box, client_of({}) as client:
        await box.deliver(mail("Hello"))
        port = int(box.place.rpartition(":")[2])

        async def connect(host: str, port: int) -> Any:
            return await asyncio.open_connection("127.0.0.1", port)

        client.dialler.connect = connect  # type: ignore[method-assign]
        broker = maker_of(client)(secrets={"IMAP_URL": f"{scheme}://{USER.replace('@', '%40')}:{QUOTED}@{HOST}:{port}"})
        assert (await refused(broker, "search")).code == DenialCode.UPSTREAM_UNREACHABLE
        client.tls.load_verify_locations(certificate)
        assert subjects(await broker.ask("email", "search", {})) == ["Hello"]


async def test_what_is_said_ahead_of_tls_is_not_taken_for_what_is_said_under_it(tmp_path: Path) -> None:
    certificate, key = certificate_of(HOST, tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    heard = bytearray()

    async def in_between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK hi\r\n")
        await reader.readuntil(b"\r\n")
        writer.write(b"a1 OK begin\r\na2 OK logged in\r\n")
        with suppress(OSError):
            await writer.start_tls(tls)
            heard.extend(await reader.read(1))

    server = await asyncio.start_server(in_between, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with client_of({}) as client:

        async def connect(host: str, port: int) -> Any:
            return await asyncio.open_connection("127.0.0.1", port)

        client.dialler.connect = connect  # type: ignore[method-assign]
        client.tls.load_verify_locations(certificate)
        broker = maker_of(client)(secrets={"IMAP_URL": f"{URL}:{port}"})
        assert (await refused(broker, "search")).code == DenialCode.UPSTREAM_UNREACHABLE
    server.close()
    assert heard == b"", "nobody logs in there"


async def test_an_execution_has_an_end_whatever_a_service_may_take() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with client_of({HOST: Place(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")}) as client:
        broker = maker_of(client)(limits=BrokerLimits(wall_seconds=0.1, mail_seconds=2))
        denied = await refused(broker, "search")
    server.close()
    assert denied.code == DenialCode.UPSTREAM_TIMEOUT
    assert float(denied.facts["limit"].removesuffix(" s")) <= 0.1


async def test_a_name_of_an_inside_address_sees_no_packet_and_no_other_url_is_taken() -> None:
    async with client_of({}, resolving(["10.0.0.7"])) as client:
        assert (await refused(maker_of(client)(), "search")).code == DenialCode.ADDRESS_NOT_PUBLIC
    async with client_of({}) as client:
        for url in ("http://a:b@mail.example.com", "imap://a:b@127.0.0.1", "imap://mail.example.com", "imap://a:b@h"):
            denied = await refused(maker_of(client)(secrets={"IMAP_URL": url}), "search")
            assert (denied.code, denied.facts["setting"]) == (DenialCode.SETTING_INVALID, "IMAP_URL")
        for password in ("hunter2/x", "hunter2\uff1ax", "[hunter2]"):
            denied = await refused(maker_of(client)(secrets={"IMAP_URL": f"imap://ada:{password}@{HOST}"}), "search")
            assert denied.code == DenialCode.SETTING_INVALID
            assert "hunter2" not in repr((denied.message, denied.fix, denied.facts))
        for url in (f"{URL}/INBOX", f"imap://a%0d%0aX:b@{HOST}", f"imap://a:%c3%a4@{HOST}", f"imap://a:b@{HOST}:x"):
            assert (await refused(maker_of(client)(secrets={"IMAP_URL": url}), "search")).code == "SETTING_INVALID"


LOGGED_IN = b"* OK hi\r\na1 OK\r\n"
OPENED = LOGGED_IN + b"* 9 EXISTS\r\n* OK [UIDVALIDITY 7]\r\na2 OK\r\n"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (b"220 mail.example.com ESMTP\r\n", DenialCode.UPSTREAM_UNREACHABLE),
        (b"", DenialCode.UPSTREAM_UNREACHABLE),
        (b"* OK " + b"x" * 100_000, DenialCode.UPSTREAM_UNREACHABLE),
        (LOGGED_IN + b"a2 OK\r\n", DenialCode.UPSTREAM_UNREACHABLE),
        (LOGGED_IN + b"* x\r\n" * 20_000, DenialCode.UPSTREAM_UNREACHABLE),
        (OPENED + b"* SEARCH " + b"{0}\r\n" * 20_000 + b"\r\na3 OK\r\n", DenialCode.UPSTREAM_UNREACHABLE),
        (OPENED + b"* SEARCH {9999999999}\r\n", DenialCode.RESPONSE_TOO_LARGE),
        (OPENED + b"* SEARCH {5}\r\nabc", DenialCode.UPSTREAM_UNREACHABLE),
        (OPENED + b"a3 NO not for canary-\"61\\ae90f2\r\n", DenialCode.UPSTREAM_ERROR),
        (OPENED + b"* SEARCH 1\r\na3 OK\r\n* 1 FETCH (UID 1 BODY[] {400000}\r\n" + b"x" * 400_000 + b")\r\na4 OK\r\n"
         b"", None),
        (OPENED + (b"* 1 FETCH (UID 1 BODY[] {200000}\r\n" + b"x" * 200_000 + b")\r\n") * 8,
         DenialCode.RESPONSE_TOO_LARGE),
    ],
)  # fmt: skip
async def test_what_is_no_mail_server_is_not_waited_for_nor_believed(script: bytes, code: DenialCode | None) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(script)
        writer.write_eof()

    server = await asyncio.start_server(say, "127.0.0.1", 0)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with client_of({HOST: Place(place)}) as client:
            if code is None:
                found = await maker_of(client)().ask("email", "search", {})
                assert len(found["messages"]) == 1
            else:
                assert (await refused(maker_of(client)(), "search")).code == code
    finally:
        server.close()
