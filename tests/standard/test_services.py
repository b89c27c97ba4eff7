"""Standard actions over services as they are, through the broker and the jail: PostgreSQL, SMTP, a model."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from executor.brokers import Place, broker_of, client_of
from executor.databases import Org, connected
from executor.kept import Kept
from executor.post import mail_server
from executor.test_broker_ai import PIXEL, chat_answer, endpoint, sent
from hardpoint_manifest.authority import PERMISSIONS
from standard import documents
from standard.conftest import Standard
from standard.documents import INVOICE

TABLES = """
    CREATE TABLE invoices (number text PRIMARY KEY, amount numeric);
    CREATE TABLE knowledge (
        document text NOT NULL,
        part integer NOT NULL,
        text text NOT NULL,
        page integer,
        section text,
        start integer,
        embedding real[],
        words tsvector GENERATED ALWAYS AS (to_tsvector('simple', text)) STORED
    );
"""
HANDBOOK = """# Travel

Trains are booked by the office. Book early.

# Expenses

Hotels cost at most 120 EUR a night. Keep every receipt."""


@pytest.fixture
async def org(database_url: Callable[..., Awaitable[str]]) -> AsyncIterator[tuple[Org, Any]]:
    """A maker of brokers whose organisation has a database with the tables, and a connection to look into it."""
    async with connected(await database_url()) as (maker, look):
        await look.execute(TABLES.encode())
        settings = {"DATABASE_TABLES": "invoices, knowledge"}
        yield lambda *permissions, **rest: maker(*permissions, settings=settings, **rest), look


async def done(standard: Standard, name: str, input: dict[str, Any], broker: Any) -> Any:
    ran = await standard.ran(name, input, broker=broker)
    assert ran.error is None, ran.error
    return ran.output


async def test_a_row_is_inserted_once_for_an_effect_and_read_back(standard: Standard, org: tuple[Org, Any]) -> None:
    maker, _ = org
    row = {"table": "invoices", "data": {"number": "INV-1", "amount": 1234.56}}
    for _attempt in range(2):
        assert await done(standard, "database.insert", row, maker(idempotency_key="run/store")) == {"rows": 1}
    select = {"sql": "SELECT number, amount FROM invoices WHERE amount > $1", "params": [1000]}
    assert await done(standard, "database.query", select, maker()) == {"rows": [row["data"]]}
    more = {"table": "invoices", "data": [{"number": "INV-2"}, {"number": "INV-1"}]}
    refused = (await standard.ran("database.insert", more, broker=maker())).error
    assert refused is not None
    assert len((await done(standard, "database.query", select | {"params": [0]}, maker()))["rows"]) == 1


async def test_rows_are_changed_and_deleted_each_under_a_permission_of_its_own(
    standard: Standard, org: tuple[Org, Any]
) -> None:
    maker, look = org
    await look.execute("INSERT INTO invoices SELECT 'INV-' || n, n FROM generate_series(1, 3) AS n")
    update = {"table": "invoices", "data": {"amount": 10}, "where": {"number": "INV-1"}}
    before = frozenset({"data.read", "data.write", "compute.moderate"})  # what the version before asked for
    assert await done(standard, "database.update", update, maker(before)) == {"rows": 1}
    delete = {"table": "invoices", "where": {"number": "INV-2"}}
    refused = (await standard.ran("database.delete", delete, broker=maker(before))).error
    assert refused is not None
    assert (refused.reason, refused.metadata["permission"]) == ("PERMISSION_NOT_GRANTED", "data.delete")
    for _attempt in range(2):
        assert await done(standard, "database.delete", delete, maker(idempotency_key="run/drop")) == {"rows": 1}
    select = {"sql": "SELECT number, amount FROM invoices ORDER BY number"}
    assert await done(standard, "database.query", select, maker()) == {
        "rows": [{"number": "INV-1", "amount": 10}, {"number": "INV-3", "amount": 3}]
    }


async def test_a_mail_with_a_file_arrives(standard: Standard) -> None:
    invoice = documents.written(INVOICE)
    kept = Kept(invoice=invoice)
    async with (
        mail_server("pass-word-1") as post,
        client_of({"mail.example.com": Place(post.place)}) as client,
    ):
        broker = broker_of(
            client,
            secrets={"SMTP_URL": "smtp://ada:pass-word-1@mail.example.com:25"},
            settings={"EMAIL_FROM": "Hardpoint <agents@example.com>"},
            kept=kept,
        )
        [handle] = kept.lent().handles
        mail = {
            "to": "accounting@example.com",
            "subject": "New Invoice: {{number}}",
            "body": "See the attachment.",
            "values": {"number": "INV-1"},
            "attachments": [dict(handle)],
        }
        sent = await done(standard, "email.send", mail, broker)
        arrived = post.last()
    assert (arrived["Subject"], arrived["To"], arrived["Message-ID"]) == (
        "New Invoice: INV-1",
        "accounting@example.com",
        sent["message_id"],
    )
    [attached] = arrived.iter_attachments()
    assert (attached.get_filename(), attached.get_payload(decode=True)) == ("invoice", invoice)


async def test_the_model_looks_at_a_picture_where_the_org_allows_that_too(standard: Standard) -> None:
    kept = Kept(
        dot=base64.b64decode(PIXEL.partition(",")[2]), note=b"no picture", scan=b"\xff\xd8\xff" + bytes(700_000)
    )
    dot, note, scan = map(dict, kept.lent().handles)
    schema = {"type": "object", "properties": {"total": {"type": "number"}}}
    asked = {"input": dot, "prompt": "What is the total?"}
    async with endpoint(chat_answer('{"total": 5}')) as (api, maker):
        allowed = maker("ai.call", "ai.vision", "file.read", kept=kept)
        seen = await done(standard, "ai.vision", {**asked, "schema": schema, "model": "eyes"}, allowed)
        assert (seen["text"], seen["data"]) == ('{"total": 5}', {"total": 5})
        [message] = sent(api)["messages"]
        assert (sent(api)["model"], message["content"]) == (
            "eyes",
            [{"type": "text", "text": asked["prompt"]}, {"type": "image_url", "image_url": {"url": PIXEL}}],
        )
        for file, name in ((note, "NoPicture"), (scan, "TooLarge")):
            unfit = (await standard.ran("ai.vision", {**asked, "input": file}, broker=allowed)).error
            assert unfit is not None
            assert (unfit.reason, unfit.metadata["name"]) == ("USER_ERROR", name)

        # An org that was given 1.0.0 has its grants as they were: what it did goes on, and pictures are not looked at.
        for before in (("ai.call", "ai.embedding"), ("ai.call", "file.read")):
            given = len(api.seen)
            refused = (await standard.ran("ai.vision", asked, broker=maker(*before, kept=kept))).error
            assert refused is not None
            assert refused.reason == "PERMISSION_NOT_GRANTED"
            assert len(api.seen) == given
        assert (await done(standard, "ai.chat", {"prompt": "hi"}, maker("ai.call")))["text"] == '{"total": 5}'


async def test_what_was_taken_in_is_found_with_its_source_until_it_is_forgotten(
    standard: Standard, org: tuple[Org, Any]
) -> None:
    maker, look = org
    kept = Kept(invoice=documents.written(INVOICE))
    [handle] = kept.lent().handles
    taken = {"text": HANDBOOK, "document": "handbook.md"}
    for _again in range(2):
        assert await done(standard, "knowledge.ingest", taken, maker()) == {"document": "handbook.md", "passages": 2}
    assert await done(
        standard, "knowledge.ingest", {"file": dict(handle)}, maker(frozenset(PERMISSIONS), kept=kept)
    ) == {
        "document": "invoice",
        "passages": 1,
    }
    assert [(await (await look.execute("SELECT count(*) FROM knowledge")).fetchone())[0]] == [3]

    async def found(query: str) -> list[str]:
        passages = (await done(standard, "knowledge.search", {"query": query}, maker()))["passages"]
        return [passage["document"] for passage in passages]

    assert await found("hotels receipt") == ["handbook.md"]
    assert await found("hammer or trains") == ["handbook.md", "invoice"]
    assert await found('"forged steel" -hotels') == ["invoice"]
    assert await found("'; DROP TABLE knowledge; --") == []
    assert await done(standard, "knowledge.forget", {"document": "handbook.md"}, maker()) == {"passages": 2}
    assert await found("hotels") == []


async def test_a_long_document_becomes_passages_that_hold_all_of_its_words(
    standard: Standard, org: tuple[Org, Any]
) -> None:
    maker, look = org
    text = "\n\n".join(" ".join(f"word{n}x{m}" for m in range(90)) for n in range(20)) + "\n\n" + "long" * 1000
    taken = await done(standard, "knowledge.ingest", {"text": text, "document": "long"}, maker())
    rows = await (await look.execute("SELECT part, text FROM knowledge ORDER BY part")).fetchall()
    assert [part for part, _ in rows] == list(range(1, taken["passages"] + 1))
    assert max(len(text) for _, text in rows) <= 1200
    assert "".join(text for _, text in rows).replace("\n", "").replace(" ", "") == "".join(text.split())


@pytest.mark.parametrize(
    ("input", "name"),
    [
        ({}, "NoText"),
        ({"text": "something"}, "NoText"),
        ({"text": " \n", "document": "empty"}, "NoText"),
        ({"text": "x" * 400_001, "document": "long"}, "TooLong"),
        ({"file": {"id": "orgs/acme/files/locked", "name": "locked.pdf"}}, "NoText"),
        ({"file": {"id": "orgs/acme/files/bytes", "name": "bytes"}}, "NoText"),
    ],
)
async def test_what_has_no_text_is_said(standard: Standard, input: dict[str, Any], name: str) -> None:
    kept = Kept(locked=documents.written(INVOICE, password="secret"), bytes=b"\xff\xfe\xfd")
    error = (await standard.ran("knowledge.ingest", input, kept)).error
    assert error is not None
    assert (error.reason, error.metadata["name"]) == ("USER_ERROR", name)
    assert ": " in error.message
