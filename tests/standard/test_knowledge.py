"""Knowledge by words and by meaning: a PostgreSQL with arrays and with pgvector, a model that is asked, real files."""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from executor.brokers import Place, broker_of, client_of
from executor.kept import Kept
from executor.upstream import Seen, Upstream, json_answer
from hardpoint_executor.broker.databases import Databases
from hardpoint_executor.writes import Circumstances, Ledger, Writes
from hardpointd.postgres import EmbeddedPostgres
from hardpointd.postgres.server import SUPERUSER
from standard import documents
from standard.conftest import Standard

TABLE = """
    CREATE TABLE knowledge (
        document text NOT NULL, part integer NOT NULL, text text NOT NULL, {}
        words tsvector GENERATED ALWAYS AS (to_tsvector('simple', text)) STORED
    )
"""
REFUSES = """
    CREATE FUNCTION refuses() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE 'column "x" of the archive does not exist'; END $$;
    CREATE TRIGGER refuses BEFORE INSERT ON knowledge FOR EACH ROW EXECUTE FUNCTION refuses()
"""
PLACES = "page integer, section text, start integer, embedding {},"
MEANINGS = ("hotel lodging night bed", "train railway trip", "meal lunch food", "hammer steel tool")
HANDBOOK = """Our handbook.

# Travel

Every trip by railway is booked by the office.

## Abroad

Ask for lodging early.

```
# no heading
```

# Expenses

A meal costs at most 20 EUR. Keep the receipt.
"""


def model(request: Seen) -> bytes:
    """Vectors whose numbers say how often each meaning is spoken of."""
    asked = json.loads(request.body)
    words = [re.findall(r"\w+", text.lower()) for text in asked["input"]]
    vectors = [[sum(word in group.split() for word in text) + 0.01 for group in MEANINGS] for text in words]
    data = [{"index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    return json_answer({"data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}})


class Org:
    """An organisation's knowledge; `ran` is an action, with a model or without."""

    def __init__(self, look: psycopg.AsyncConnection, api: Upstream, ran: Callable[..., Awaitable[Any]]) -> None:
        self.look = look
        self.api = api
        self.ran = ran

    async def table(self, places: str) -> None:
        await self.look.execute(TABLE.format(places).encode())

    async def rows(self, sql: str) -> list[Any]:
        return await (await self.look.execute(sql.encode())).fetchall()

    async def search(self, query: str, **rest: Any) -> list[tuple[str, str]]:
        """Documents and sections, the best first."""
        found = (await self.ran("search", query=query, **rest))["passages"]
        assert [one["rank"] for one in found] == sorted((one["rank"] for one in found), reverse=True)
        return [(one["document"], one.get("section", "")) for one in found]


@pytest.fixture
async def org(
    standard: Standard, database_url: Callable[..., Awaitable[str]], postgres: EmbeddedPostgres
) -> AsyncIterator[Org]:
    url = make_url(await database_url()).set(drivername="postgresql")
    public = url.set(host="db.example.com", port=None).render_as_string(hide_password=False)
    plain = url.render_as_string(hide_password=False)
    owner = url.set(username=SUPERUSER, password=postgres.password(SUPERUSER))
    superuser = owner.render_as_string(hide_password=False)
    async with (
        Upstream(model) as api,
        client_of({"db.example.com": Place(f"{url.host}:{url.port}"), "ai.example.com": api}) as client,
        await psycopg.AsyncConnection.connect(plain, autocommit=True) as look,
        await psycopg.AsyncConnection.connect(superuser, autocommit=True) as admin,
    ):
        await admin.execute("CREATE EXTENSION vector")
        databases = Databases(client.dialler, client.tls)

        async def ran(
            action: str,
            *,
            modelled: bool = True,
            kept: Kept | None = None,
            ledger: Ledger | None = None,
            **input: Any,
        ) -> Any:
            settings = {"DATABASE_TABLES": "knowledge"}
            if modelled:
                settings |= {"AI_URL": "https://ai.example.com/v1", "AI_EMBEDDING_MODEL": "meanings"}
            secrets = {"DATABASE_URL": public, "AI_KEY": "key-of-the-model"}
            plan = {"writes": Writes(ledger)}
            broker = broker_of(client, settings=settings, secrets=secrets, databases=databases, kept=kept, **plan)
            done = await standard.ran(f"knowledge.{action}", input, broker=broker, settings=settings)
            return done.error or done.output

        yield Org(look, api, ran)
        databases.close()


@pytest.mark.parametrize("kind", ["real[]", "vector(4)"])
async def test_what_means_alike_is_found_beside_what_says_so_with_its_place(org: Org, kind: str) -> None:
    await org.table(PLACES.format(kind))
    kept = Kept(invoice=documents.written(["Hammer, forged steel"], ["Bed and breakfast"]))
    [handle] = kept.lent().handles
    assert await org.ran("ingest", text=HANDBOOK, document="handbook.md") == {"document": "handbook.md", "passages": 4}
    assert await org.ran("ingest", file=dict(handle), kept=kept) == {"document": "invoice", "passages": 2}
    assert await org.ran("ingest", text="city,nights\nBerlin,2\nRome,3\n", document="trips.csv", modelled=False) == {
        "document": "trips.csv",
        "passages": 1,
    }

    [first, *_] = (await org.ran("search", query="hotel"))["passages"]
    assert {name: first.get(name) for name in ("document", "part", "page", "section", "start")} == {
        "document": "handbook.md",
        "part": 3,
        "page": None,
        "section": "Travel > Abroad",
        "start": HANDBOOK.index("## Abroad"),
    }
    assert (await org.search("hotel"))[:2] == [("handbook.md", "Travel > Abroad"), ("invoice", "")]
    assert await org.search("hotel", modelled=False) == []
    # By its words alone, by its meaning alone, and what both say before either.
    both = await org.search("receipt or lunch", limit=2)
    assert both[0] == ("handbook.md", "Expenses")
    [page] = (await org.ran("search", query="steel", limit=1))["passages"]
    assert (page["document"], page["page"], page["start"], page["text"]) == ("invoice", 1, 0, "Hammer, forged steel")
    [row] = (await org.ran("search", query="rome", limit=1))["passages"]
    assert (row["section"], row["start"]) == ("rows 2-3", len("city,nights\n"))
    assert row["text"] == "city,nights\nBerlin,2\nRome,3"

    texts = [text for request in org.api.seen for text in json.loads(request.body)["input"]]
    assert "hotel" in texts
    assert all(request.header("authorization") == "Bearer key-of-the-model" for request in org.api.seen)
    await org.ran("ingest", text="nothing more", document="handbook.md")
    assert await org.rows("SELECT count(*) FROM knowledge WHERE document = 'handbook.md'") == [(1,)]


async def test_a_model_that_is_another_or_away_and_a_table_of_before(org: Org) -> None:
    await org.table("")
    assert (await org.ran("ingest", text="Trains are slow", document="old", modelled=False))["passages"] == 1
    assert await org.search("trains", modelled=False) == [("old", "")]
    for action in ({"action": "ingest", "text": "x", "document": "d"}, {"action": "search", "query": "trains"}):
        refused = await org.ran(**action)
        assert (refused.metadata["name"], "ALTER TABLE knowledge ADD page" in refused.message) == ("OldTable", True)
    added = "ADD page integer, ADD section text, ADD start integer, ADD embedding real[]"
    await org.look.execute(f"ALTER TABLE knowledge {added}".encode())
    asked = len(org.api.seen)
    assert await org.search("trains") == [("old", "")]
    assert len(org.api.seen) == asked, "nothing has a vector, so no model is asked for one"

    await org.look.execute(REFUSES.encode())
    assert (await org.ran("ingest", text="x", document="y")).reason == "STATEMENT_FAILED", "whatever words it comes in"
    await org.look.execute(b"DROP TRIGGER refuses ON knowledge")

    await org.ran("ingest", text="A trip by railway", document="new")
    assert await org.search("train") == [("new", "")]
    await org.look.execute("UPDATE knowledge SET embedding = '{1,2}' WHERE document = 'new'")
    assert await org.search("train") == [], "a vector of another model is not compared"
    org.api.respond = lambda _: json_answer({"error": {"message": "overloaded"}}, 503)
    assert (await org.ran("search", query="train")).reason == "UPSTREAM_ERROR"
    assert (await org.ran("ingest", text="changed", document="new")).reason == "UPSTREAM_ERROR"
    assert await org.rows("SELECT text FROM knowledge WHERE document = 'new'") == [("A trip by railway",)]
    many = "\n\n".join(f"{'word ' * 220}{n}" for n in range(300))
    assert (await org.ran("ingest", text=many, document="many")).metadata["name"] == "TooLong"


async def test_vectors_that_a_model_gives_otherwise_each_time_are_those_of_the_plan(org: Org) -> None:
    await org.table(PLACES.format("real[]"))
    drift = iter(range(1, 100))

    def drifting(request: Seen) -> bytes:
        texts = json.loads(request.body)["input"]
        moved = next(drift) / 1000
        return json_answer({"data": [{"index": n, "embedding": [1.0, moved, 0.5, n]} for n in range(len(texts))]})

    org.api.respond = drifting
    given = {"document": "trip.txt", "text": "A trip by railway"}
    plan = Ledger(dry_run=True)
    await org.ran("ingest", ledger=plan, **given)
    assert await org.rows("SELECT 1 FROM knowledge") == []

    def held(met: Circumstances) -> Ledger:
        return Ledger(dry_run=False, expected=plan.planned, circumstances=met)

    asked = len(org.api.seen)
    other = await org.ran("ingest", ledger=held(plan.circumstances), **given | {"text": "A trip by bus"})
    assert (other.reason, len(org.api.seen)) == ("EFFECT_NOT_PLANNED", asked + 1), "it asks something else"
    refused = await org.ran("ingest", ledger=held(Circumstances()), **given)
    assert refused.reason == "EFFECT_NOT_PLANNED", "without what was said the vectors are others"
    await org.ran("forget", document="trip.txt")
    asked = len(org.api.seen)
    await org.ran("ingest", ledger=held(plan.circumstances), **given)
    assert len(org.api.seen) == asked, "the model is not asked again"
    assert await org.rows("SELECT text, embedding[2] FROM knowledge") == [("A trip by railway", 10.0)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("long.txt", "\n\n".join(" ".join(f"w{n}x{m}" for m in range(300)) for n in range(9)) + "\n\n" + "y" * 4000),
        ("a.md", "".join(f"{'#' * (n % 7 + 1)} head {n}\ntext {n}\n\n" for n in range(50))),
        ("a.csv", "name,about\n" + "".join(f'n{n},"about\n{"z " * n}"\n' for n in range(0, 900, 30))),
        ("broken.csv", 'a,b\n1,"' + "x" * 200_000),
    ],
)
async def test_all_of_a_text_is_in_passages_that_say_where_they_begin(org: Org, name: str, text: str) -> None:
    await org.table(PLACES.format("real[]"))
    taken = await org.ran("ingest", text=text, document=name, modelled=False)
    rows = await org.rows("SELECT part, text, start FROM knowledge ORDER BY part")
    assert [part for part, *_ in rows] == list(range(1, taken["passages"] + 1))
    assert max(len(passage) for _, passage, _ in rows) <= 1700
    said = "".join(passage for _, passage, _ in rows)
    assert set(text.split()) <= set(said.split()) or set("".join(text.split())) <= set(said)
    for _, passage, start in rows:
        begins = passage.removeprefix("name,about\n")[:20]
        assert text[start:].startswith(begins), (start, begins)
