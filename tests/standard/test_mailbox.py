"""Mail that has come, read in the jail through a real IMAP server: what people send, and what nobody should."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from email.message import EmailMessage
from typing import Any

import pytest

from executor.brokers import Place, broker_of, client_of
from executor.kept import Kept
from executor.mailbox import USER, Box, mailbox
from hardpoint_executor.domain import Lent
from standard.conftest import Standard

PASSWORD = "canary-0c77a1d9be"
Do = Callable[..., Awaitable[Any]]


@pytest.fixture
async def box() -> AsyncIterator[Box]:
    async with mailbox(PASSWORD) as box:
        yield box


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
async def do(standard: Standard, box: Box, kept: Kept) -> AsyncIterator[Do]:
    async with client_of({"mail.example.com": Place(box.place)}) as client:

        async def do(action: str, **input: Any) -> Any:
            secrets = {"IMAP_URL": f"imaps://{USER.replace('@', '%40')}:{PASSWORD}@mail.example.com"}
            broker = broker_of(client, secrets=secrets, kept=kept, lent=Lent("ticket-of-this-execution"))
            ran = await standard.ran(f"email.{action}", input, broker=broker)
            return ran.error or ran.output

        yield do


async def test_a_mail_is_listed_read_and_its_attachments_are_saved(do: Do, box: Box, kept: Kept) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Cc"] = "Bj\u00f6rn <bob@example.org>", "ada@example.com", "cy@example.org"
    mail["Subject"], mail["Date"] = "Rechnung \u20ac 12", "Sat, 28 Mar 2026 09:00:00 +0100"
    mail["Message-ID"] = "<1@example.org>"
    mail.set_content("Guten Tag,\n\u00fcberweisen Sie.\n", charset="iso-8859-1")
    mail.add_alternative("<p>Guten Tag</p>", subtype="html")
    pdf = b"%PDF-1.7 " + bytes(600_000)
    mail.add_attachment(pdf, maintype="application", subtype="pdf", filename="../R\u00fc 1.pdf")
    inner = EmailMessage()
    inner["Subject"] = "Before"
    mail.add_attachment(inner)
    await box.deliver(b"Subject: Old\r\n\r\nold", day=1)
    await box.deliver(mail.as_bytes(), day=2)

    listed = await do("list", since="2026-03-02")
    header = {
        "message": listed["messages"][0]["message"],
        "from": "Bj\u00f6rn <bob@example.org>",
        "to": "ada@example.com",
        "cc": "cy@example.org",
        "subject": "Rechnung \u20ac 12",
        "date": "2026-03-28T09:00:00+01:00",
        "message_id": "<1@example.org>",
        "size": len(mail.as_bytes()),
    }
    assert listed == {"messages": [{**header, "seen": False}], "more": False}
    read = await do("read", message=header["message"])
    assert {name: read[name] for name in header} == header
    assert read["text"].split() == ["Guten", "Tag,", "\u00fcberweisen", "Sie."]
    assert (read["html"].strip(), read["truncated"]) == ("<p>Guten Tag</p>", False)
    assert [(one["name"], one["type"]) for one in read["attachments"]] == [
        ("_R\u00fc 1.pdf", "application/pdf"),
        ("mail.eml", "application/octet-stream"),
    ]
    saved = (await do("attachments", message=header["message"]))["files"]
    assert [file["name"] for file in saved] == ["_R\u00fc 1.pdf", "mail.eml"]
    first, second = kept.saved.values()
    assert (first[0], first[1], len(first[2])) == ("_R\u00fc 1.pdf", "application/pdf", 600_009)
    assert b"Subject: Before" in second[2]


def nested(depth: int) -> bytes:
    heads = [f'Content-Type: multipart/mixed; boundary="b{n}"\r\n\r\n--b{n}\r\n' for n in range(depth)]
    return ("".join(heads) + "Content-Type: text/plain\r\n\r\nat last\r\n").encode()


def typed(kind: str, body: bytes, *headers: str) -> bytes:
    lines = [f"Content-Type: {kind}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.mark.parametrize(
    ("mail", "says"),
    [
        (typed('multipart/mixed; boundary="b"', b"--b\r\n\r\nx\r\n" * 5000), "NotReadable"),
        (typed("text/plain; charset=punycode", b"a-" * 200_000), "a-a-"),
        (typed("text/plain; charset=zlib", b"x\x9c"), "x\ufffd"),
        (typed("text/plain; charset=no-such", b"\xff!"), "\ufffd!"),
        (typed("text/plain; charset=undefined", b"x"), "x"),
        (typed("text/plain", b"?????", "Content-Transfer-Encoding: base64"), ""),
        (typed("text/plain", b"y" * 900_000), "yyy"),
        (typed("message/rfc822", b""), ""),
        (nested(100), "at last"),
        (b"To: " + b"(" * 100_000 + b"\r\nDate: " + b"9" * 100_000 + b"\r\nFrom: =?x?b?????=\r\n\r\nhi", "hi"),
        (b"Subject: a\r\n b\x00\xff=?utf-8?q?=0D=0ABcc:_x?=\r\n\r\nhi", "hi"),
        (b"", ""),
    ],
)
async def test_what_nobody_should_send_is_read_within_bounds_or_said_to_be_unreadable(
    do: Do, box: Box, mail: bytes, says: str
) -> None:
    await box.deliver(mail)
    [listed] = (await do("list"))["messages"]
    assert "\n" not in "".join(str(value) for value in listed.values())
    read = await do("read", message=listed["message"])
    if says == "NotReadable":
        assert read.metadata["name"] == says
    else:
        assert isinstance(read, dict), read
        assert read["text"].startswith(says)
        assert len(read["text"]) <= 200_000


async def test_parts_within_parts_without_end_are_not_followed(standard: Standard) -> None:
    mail = nested(5000)  # which no server of a test takes

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK hi\r\na1 OK\r\n* 1 EXISTS\r\n* OK [UIDVALIDITY 1]\r\na2 OK\r\n")
        writer.write(b"* 1 FETCH (UID 1 BODY[] {%d}\r\n%b)\r\na3 OK\r\n" % (len(mail), mail))
        writer.write_eof()

    server = await asyncio.start_server(say, "127.0.0.1", 0)
    place = Place(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        async with client_of({"mail.example.com": place}) as client:
            broker = broker_of(client, secrets={"IMAP_URL": f"imap://ada:{PASSWORD}@mail.example.com"})
            read = await standard.ran("email.read", {"message": "1.1"}, broker=broker)
    finally:
        server.close()
    assert read.error is not None
    assert read.error.metadata["name"] == "NotReadable", read.error
