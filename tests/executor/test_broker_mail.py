"""The service `email` through a real SMTP server: what arrives, what is refused, and what no header can carry."""

import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from executor.brokers import broker_of, client_of
from executor.kept import Kept
from executor.post import Post, mail_server
from executor.test_broker_dial import certificate_of
from executor.upstream import Upstream
from hardpoint_executor.broker.broker import Broker
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.http import HttpClient
from hardpoint_executor.broker.limits import BrokerLimits
from hardpoint_executor.writes import Ledger, Writes

PASSWORD = "canary-9b41d0ce77"
URL = f"smtp://ada:{PASSWORD}@mail.example.com:587"
MAIL = {"to": "bob@example.org", "subject": "Hello", "body": "Good day\n"}


@asynccontextmanager
async def server(**options: Any) -> AsyncIterator[tuple[Post, Any]]:
    """A mail server, and a maker of brokers whose organisation sends through it."""
    async with mail_server(PASSWORD, **options) as post, client_of({"mail.example.com": post}) as client:

        def maker(**rest: Any) -> Broker:
            usual: dict[str, Any] = {
                "permissions": frozenset({"integration.email", "file.read"}),
                "secrets": {"SMTP_URL": URL},
                "settings": {"EMAIL_FROM": "Ada <ada@example.com>"},
            }
            return broker_of(client, **usual | rest)

        yield post, maker


async def send(broker: Broker, **arguments: Any) -> Any:
    return await broker.ask("email", "send", MAIL | arguments)


async def refused(broker: Broker, **arguments: Any) -> BrokerDenied:
    with pytest.raises(BrokerDenied) as denied:
        await send(broker, **arguments)
    said = denied.value.message + denied.value.fix + str(denied.value.facts)
    assert denied.value.fix
    assert PASSWORD not in said
    assert "mail.example.com" not in said
    return denied.value


async def test_a_mail_arrives() -> None:
    async with server() as (post, maker):
        broker = maker()
        sent = await send(
            broker,
            to=["Bob B\u00f6hm <bob@example.org>", "eve@example.org"],
            cc="cy@example.org",
            bcc=["dee@example.org", "eve@example.org"],
            reply_to="desk@example.com",
            subject="Gr\u00fc\u00dfe",
            body="Guten Tag \u20ac\n.\nmehr\n",
            html="<b>Guten Tag</b>",
            attachments=[{"name": "Bericht \u00fc.pdf", "type": "application/pdf", "data": "AP8="}],
        )
    [kept] = post.kept
    recipients = ["bob@example.org", "eve@example.org", "cy@example.org", "dee@example.org"]
    assert (kept.mail_from, kept.rcpt_tos) == ("ada@example.com", recipients)
    assert post.logins == [(b"ada", PASSWORD.encode())]
    mail = post.last()
    assert mail["Subject"] == "Gr\u00fc\u00dfe"
    assert mail["From"] == "Ada <ada@example.com>"
    assert mail["To"] == "Bob B\u00f6hm <bob@example.org>, eve@example.org"
    assert (mail["Cc"], mail["Bcc"], mail["Reply-To"]) == ("cy@example.org", None, "desk@example.com")
    assert mail["Message-ID"] == sent["message_id"]
    assert mail["Date"]
    assert mail.get_body(("plain",)).get_content().replace("\r\n", "\n") == "Guten Tag \u20ac\n.\nmehr\n"
    assert mail.get_body(("html",)).get_content().strip() == "<b>Guten Tag</b>"
    [attached] = mail.iter_attachments()
    assert (attached.get_filename(), attached.get_content_type()) == ("Bericht \u00fc.pdf", "application/pdf")
    assert attached.get_content() == b"\x00\xff"
    assert (kept.original_content or b"").isascii()
    usage = broker.usage
    assert (usage.calls, usage.permissions) == (1, {"integration.email"})
    assert usage.bytes_sent > len(kept.original_content or b"")


async def test_a_stored_file_is_attached_by_its_handle() -> None:
    async with server() as (post, maker):
        kept = Kept(invoice=b"%PDF-1.7")
        [handle] = kept.lent().handles
        broker = maker(kept=kept)
        await send(broker, attachments=[dict(handle)])
        [attached] = post.last().iter_attachments()
        assert (attached.get_filename(), attached.get_content_type()) == ("invoice", "text/plain")
        assert broker.usage.permissions == {"integration.email", "file.read"}
        other = {**handle, "id": "orgs/acme/files/guessed"}
        assert (await refused(maker(kept=kept), attachments=[other])).code == DenialCode.FILE_NOT_GIVEN
        without = maker(kept=kept, permissions=frozenset({"integration.email"}))
        assert (await refused(without, attachments=[dict(handle)])).facts["permission"] == "file.read"
        assert len(post.kept) == 1


async def test_without_the_permission_nothing_is_sent() -> None:
    async with server() as (post, maker):
        denied = await refused(maker(permissions=frozenset({"file.read"})))
        assert (denied.code, denied.facts["permission"]) == (DenialCode.PERMISSION_NOT_GRANTED, "integration.email")
        assert post.kept == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"subject": "a\r\nBcc: eve@example.org"},
        {"subject": "a\nb"},
        {"subject": "a\x00b"},
        {"subject": "a\x85b"},
        {"subject": "a\u2028b"},
        {"subject": "=?utf-8?q?a=0D=0AX:_y?="},
        {"subject": "Re: =?UTF-8*en?B?YQ0KWDogeQ==?= b"},
        {"to": "=?utf-8?q?a=0D=0AX:_y?= <bob@example.org>"},
        {"reply_to": "=?utf-8?q?a=0AX:_y?= <bob@example.org>"},
        {"attachments": [{"name": "=?utf-8?q?a=0AX:_y?=", "data": "AA=="}]},
        {"subject": "x" * 1001},
        {"subject": "\ud800"},
        {"body": "\ud800"},
        {"to": "bob@example.org\r\nRCPT TO:<eve@example.org>"},
        {"to": "bob@example.org, eve@example.org"},
        {"to": "<bob@example.org> BODY=8BITMIME"},
        {"to": "bob@example.org> NOTIFY=NEVER"},
        {"to": "Bob\r\nX: y <bob@example.org>"},
        {"to": "bob"},
        {"to": "@example.org"},
        {"to": "bob@"},
        {"to": "bob@-example.org"},
        {"to": "b\u00f6b@example.org"},
        {"to": ""},
        {"to": []},
        {"to": [7]},
        {"to": None},
        {"cc": "x"},
        {"reply_to": "desk@example.com\nX: y"},
        {"subject": None},
        {"body": 5},
        {"to": [f"u{n}@example.org" for n in range(51)]},
        {"bcc": [f"u{n}@example.org" for n in range(50)]},
        {"attachments": "x"},
        {"attachments": [{"data": "AA=="}]},
        {"attachments": [{"name": "a\r\nX: y", "data": "AA=="}]},
        {"attachments": [{"name": "a", "data": "not base64"}]},
        {"attachments": [{"name": "a", "data": "AA==", "type": "message/rfc822"}]},
        {"attachments": [{"name": "a", "data": "AA==", "type": "text/html\r\nX: y"}]},
        {"attachments": [{"name": "a", "data": "AA=="}] * 21},
    ],
)
async def test_nothing_begins_another_header_and_nobody_is_mailed_by_mistake(arguments: dict[str, Any]) -> None:
    async with server() as (post, maker):
        assert (await refused(maker(), **arguments)).code == DenialCode.INVALID_ARGUMENT
        assert (post.kept, post.logins) == ([], [])


async def test_a_name_is_quoted_where_it_must_be() -> None:
    async with server() as (post, maker):
        await send(maker(), to='"Bob, Eve" <bob@example.org>')
        assert post.kept[0].rcpt_tos == ["bob@example.org"]
        assert [address.display_name for address in post.last()["To"].addresses] == ["Bob, Eve"]


@pytest.mark.parametrize("text", ["1+1=? No: 2?=", "=?x", "a?q?b?=", "=?utf-8?x?YQ==?=", "%0D%0AX: y", "\\r\\nX: y"])
async def test_a_line_arrives_as_it_is(text: str) -> None:
    async with server() as (post, maker):
        await send(maker(), subject=text, attachments=[{"name": text, "data": "AA=="}])
        mail = post.last()
        [attached] = mail.iter_attachments()
        assert (mail["Subject"], attached.get_filename(), mail["X"]) == (text, text, None)


async def test_a_refused_recipient_keeps_the_mail_from_all() -> None:
    async with server() as (post, maker):
        denied = await refused(maker(), to=["bob@example.org", "nobody@example.org"])
        assert (denied.code, denied.facts) == (DenialCode.RECIPIENT_REFUSED, {"status": "550"})
        assert "recipient 2 of 2" in denied.message
        assert "[secret SMTP_URL password]" in denied.message
        assert post.kept == []


async def test_a_recipient_who_is_to_be_asked_again_keeps_the_mail_from_all_until_then() -> None:
    async with server() as (post, maker):
        broker = maker()
        denied = await refused(broker, to=["bob@example.org", "later@example.org"])
        assert (denied.code, denied.facts) == (DenialCode.RECIPIENT_DEFERRED, {"status": "450"})
        assert "recipient 2 of 2 now, so nobody got the mail" in denied.message
        assert (post.kept, broker.usage.wrote) == ([], False)
        await send(broker, to=["bob@example.org", "later@example.org"])
        assert [mail.rcpt_tos for mail in post.kept] == [["bob@example.org", "later@example.org"]]


async def test_a_mail_that_the_server_does_not_want() -> None:
    async with server() as (_, maker):
        denied = await refused(maker(), subject="forbidden")
        assert (denied.code, denied.facts["status"]) == (DenialCode.MAIL_REFUSED, "554")


async def test_a_mail_has_a_size() -> None:
    async with server() as (post, maker):
        data = base64.b64encode(bytes(2000)).decode()
        small = maker(limits=BrokerLimits(mail_bytes=2000))
        denied = await refused(small, attachments=[{"name": "a", "data": data}])
        assert (denied.code, denied.facts["limit"]) == (DenialCode.REQUEST_TOO_LARGE, "2000")
        assert post.logins == []


async def test_of_files_that_are_too_much_for_a_mail_no_more_is_fetched_than_tells_it() -> None:
    async with server() as (post, maker):
        kept = Kept(**{f"f{n}": bytes(1500) for n in range(3)})
        broker = maker(kept=kept, limits=BrokerLimits(mail_bytes=2000))
        denied = await refused(broker, attachments=[dict(handle) for handle in kept.lent().handles])
        assert (denied.code, denied.facts["limit"]) == (DenialCode.REQUEST_TOO_LARGE, "2000")
        assert [length for _, _, length in kept.opened] == [2001, 501]
        assert post.logins == []
        assert broker.usage.calls == 1


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("", DenialCode.SETTING_MISSING),
        (f"https://ada:{PASSWORD}@mail.example.com", DenialCode.SETTING_INVALID),
        (f"smtp://ada:{PASSWORD}@127.0.0.1:25", DenialCode.SETTING_INVALID),
        (f"smtp://ada:{PASSWORD}@mail.example.com:99999", DenialCode.SETTING_INVALID),
        (f"smtp://ada:{PASSWORD}@mail.example.com/x", DenialCode.SETTING_INVALID),
        (f"smtp://ada:{PASSWORD}#x@mail.example.com", DenialCode.SETTING_INVALID),
        (f"smtp://ada:{PASSWORD}\uff1ax@mail.example.com", DenialCode.SETTING_INVALID),
        (f"smtp://ada:{PASSWORD}@nowhere.example.com", DenialCode.UPSTREAM_UNREACHABLE),
        (f"smtp://ada:{PASSWORD}wrong@mail.example.com", DenialCode.LOGIN_REFUSED),
        ("smtp://mail.example.com", DenialCode.MAIL_REFUSED),
    ],
)
async def test_a_url_that_leads_nowhere(url: str, code: DenialCode) -> None:
    async with server() as (post, maker):
        denied = await refused(maker(secrets={"SMTP_URL": url, "OLD": URL}))
        assert denied.code == code
        assert post.kept == []
        if code is not DenialCode.MAIL_REFUSED:
            assert denied.facts["setting"] == "SMTP_URL"


async def test_without_a_sender_there_is_no_mail() -> None:
    async with server() as (_, maker):
        assert (await refused(maker(settings={}))).facts["setting"] == "EMAIL_FROM"


async def test_a_server_that_is_none_or_never_answers() -> None:
    async with Upstream() as other, client_of({"mail.example.com": other}) as client:
        broker = broker_of(
            client,
            secrets={"SMTP_URL": URL},
            settings={"EMAIL_FROM": "ada@example.com"},
            limits=BrokerLimits(mail_seconds=0.3),
        )
        denied = await refused(broker)
        assert denied.code == DenialCode.UPSTREAM_TIMEOUT
        assert "may have been sent" in denied.fix


async def test_every_attempt_has_the_same_message_id() -> None:
    async with server() as (post, maker):
        first = [await send(maker(idempotency_key="run-1/mail")) for _ in range(2)]
        assert first[0] == first[1]
        broker = maker(idempotency_key="run-1/mail")
        assert [await send(broker), await send(broker)][1] != first[0]
        assert await send(maker(idempotency_key="run-2/mail")) != first[0]
        assert await send(maker()) != await send(maker())
        assert {kept.original_content.count(b"Message-ID: <") for kept in post.kept if kept.original_content} == {1}


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_the_password_goes_over_tls_to_whoever_has_the_certificate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scheme: str, trusted: bool
) -> None:
    certificate, key = certificate_of("mail.example.com", tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    options: dict[str, Any] = {"tls_context": tls, "require_starttls": True} if scheme == "smtp" else {"tls": tls}
    async with mail_server(PASSWORD, **options) as post, public(monkeypatch) as client:
        if trusted:
            client.tls.load_verify_locations(certificate)
        broker = sending(client, f"{scheme}://ada:{PASSWORD}@{at(post)}")
        if trusted:
            await send(broker)
            assert (len(post.kept), post.logins) == (1, [(b"ada", PASSWORD.encode())])
        else:
            assert (await refused(broker)).code == DenialCode.UPSTREAM_UNREACHABLE
            assert (post.kept, post.logins) == ([], [])


async def test_no_password_is_sent_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that offers no STARTTLS, where no operator wrote down that it stands on this machine."""
    async with mail_server(PASSWORD) as post, public(monkeypatch) as client:
        broker = sending(client, f"smtp://ada:{PASSWORD}@{at(post)}")
        assert (await refused(broker)).code == DenialCode.UPSTREAM_UNREACHABLE
        assert (post.kept, post.logins) == ([], [])


@asynccontextmanager
async def public(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HttpClient]:
    """A client for which loopback is the public internet, and every name is there."""
    monkeypatch.setattr("hardpoint_kit.dial.public_address", lambda address: address == "127.0.0.1")

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with client_of({}, resolve) as client:
        yield client


def at(post: Post) -> str:
    return f"mail.example.com:{post.place.rpartition(':')[2]}"


def sending(client: HttpClient, url: str) -> Broker:
    return broker_of(client, secrets={"SMTP_URL": url}, settings={"EMAIL_FROM": "ada@example.com"})


async def test_a_dry_run_sends_nothing_and_a_plan_names_everybody_who_gets_it() -> None:
    attachment = {"name": "a.pdf", "type": "application/pdf", "data": "AP8="}
    async with server() as (post, maker):
        ledger = Ledger(dry_run=True)
        broker = maker(writes=Writes(ledger), idempotency_key="dry-run/r1")
        sent = await send(broker, bcc="eve@example.org", attachments=[attachment])
        assert (post.kept, broker.usage.permissions) == ([], set())
        assert sent["message_id"].endswith("@example.com>")
        [effect] = ledger.planned
        assert (effect.operation, effect.target) == ("send", "bob@example.org, eve@example.org")
        assert effect.arguments["subject"] == "Hello"
        assert effect.arguments["body"]["text"] == "Good day\n"
        assert effect.arguments["attachments"][0]["content"]["bytes"] == 2

        for altered in ({"bcc": "dee@example.org"}, {"attachments": [{**attachment, "data": "AP4="}]}):
            kept_to = Writes(Ledger(dry_run=False, expected=ledger.planned))
            given = {"bcc": "eve@example.org", "attachments": [attachment], **altered}
            assert (await refused(maker(writes=kept_to), **given)).code == "EFFECT_NOT_PLANNED"
        assert post.kept == []
        kept_to = Writes(Ledger(dry_run=False, expected=ledger.planned))
        await send(maker(writes=kept_to, idempotency_key="r1"), bcc="eve@example.org", attachments=[attachment])
    [kept] = post.kept
    assert kept.rcpt_tos == ["bob@example.org", "eve@example.org"]


async def test_a_mail_that_was_not_given_to_anybody_has_certainly_not_been_sent() -> None:
    async with server() as (post, maker):
        for why, code in (
            ({"secrets": {"SMTP_URL": URL.replace(PASSWORD, "wrong")}}, DenialCode.LOGIN_REFUSED),
            ({"settings": {"EMAIL_FROM": "Ada <ada@example.com>"}}, DenialCode.RECIPIENT_REFUSED),
        ):
            broker = maker(**why)
            assert (await refused(broker, to="nobody@example.org")).code == code
            assert not broker.usage.wrote
        broker = maker()
        assert (await refused(broker, body="forbidden")).code == DenialCode.MAIL_REFUSED
        assert broker.usage.wrote, "it was given to the server, whatever that says"
        post.kept.clear()
    gone = maker()
    assert (await refused(gone)).code == DenialCode.UPSTREAM_UNREACHABLE
    assert not gone.usage.wrote
