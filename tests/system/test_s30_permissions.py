"""S30: a permission opens what it names and nothing beside it; a value is never part of a statement.

The organisation's own services, end to end: its database by the design document's example, its model and its mail, and
that none of their passwords is found anywhere afterwards.
"""

import base64
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from hardpoint.runtime.v1 import run_pb2
from hardpoint_client import Agent, Hardpoint

from .conftest import DATABASE, EXAMPLES, MAIL, MAIL_PASSWORD, System, add_file, eventually
from .test_canary import dump

pytestmark = pytest.mark.jail
MODEL_KEY = "system-model-key-55aa1f"
MADE = """
    CREATE TABLE customers (name text, status text, note text);
    INSERT INTO customers VALUES ('Ada', 'active', ''), ('Bob', 'gone', '');
    CREATE TABLE salaries (n int);
"""
PYTHON = """
from hardpoint_sdk import action, capability

@capability(id="clerk", name="Clerk", version="1.0.0", permissions=PERMISSIONS, hosts=["upstream.test"])
class Clerk:
    @action
    async def fetch_it(self, input):
        return (await self.fetch(input["url"], method="POST")).status

    @action
    async def query(self, input):
        return {"rows": await self.db.query(input["sql"], input.get("params", []))}

    @action
    async def execute(self, input):
        return await self.db.execute(input["sql"], input.get("params", []))

    @action
    async def ask(self, input):
        said = await self.ai.chat(prompt=input["prompt"])
        self.log(said["text"])
        print(said["text"])
        if input.get("fail"):
            raise ValueError(said["text"])
        return said

    @action
    async def mail(self, input):
        return await self.email.send(to=input["to"], subject="Hello", body="Good day")
"""


@dataclass
class Shop:
    """An organisation's database: its URL as the organisation sets it, and a connection to look into it."""

    url: str
    password: str
    look: psycopg.AsyncConnection


@pytest.fixture
async def shop(database_url: Callable[..., Awaitable[str]]) -> AsyncIterator[Shop]:
    made = make_url(await database_url()).set(drivername="postgresql")
    url = made.set(host=DATABASE, port=5432).render_as_string(hide_password=False)
    async with await psycopg.AsyncConnection.connect(
        made.render_as_string(hide_password=False), autocommit=True
    ) as look:
        await look.execute(MADE)
        yield Shop(url, str(made.password), look)


async def clerk(client: Hardpoint, agent: Agent, *permissions: str, **secrets: str) -> str:
    code = PYTHON.replace("PERMISSIONS", json.dumps([*permissions, "compute.heavy"]))
    installation = await add_file(client, agent, code.encode(), "clerk.py", secrets=secrets)
    await client.set_settings(installation, {"DATABASE_TABLES": "customers"})
    return installation


async def test_a_post_needs_its_own_permission(system: System, client: Hardpoint, agent: Agent) -> None:
    await clerk(client, agent, "network.http.get")
    url = system.upstream.serve((200, {}))
    denied = (await agent.execute("clerk.fetch_it", {"url": url})).error
    assert denied is not None
    assert (denied.reason, denied.metadata["permission"]) == ("PERMISSION_NOT_GRANTED", "network.http.post")
    assert system.upstream.asked(url) == []


@pytest.mark.parametrize(
    ("sql", "permission"),
    [
        ("INSERT INTO customers VALUES ('Eve', 'new', '')", "data.write"),
        ("UPDATE customers SET status = 'gone'", "data.write"),
        ("DELETE FROM customers", "data.delete"),
        ("TRUNCATE customers", "data.delete"),
    ],
)
async def test_reading_does_not_write(client: Hardpoint, agent: Agent, shop: Shop, sql: str, permission: str) -> None:
    await clerk(client, agent, "data.read", DATABASE_URL=shop.url)
    denied = (await agent.execute("clerk.execute", {"sql": sql})).error
    assert denied is not None
    assert (denied.reason, denied.metadata["permission"]) == ("PERMISSION_NOT_GRANTED", permission)
    [operation] = json.loads(denied.metadata["patch"])
    assert permission in operation["value"]
    rows = await (await shop.look.execute("SELECT name, status FROM customers")).fetchall()
    assert rows == [("Ada", "active"), ("Bob", "gone")]


async def test_the_design_documents_query(system: System, client: Hardpoint, agent: Agent, shop: Shop) -> None:
    before = len(system.receiver.spans)
    source = (EXAMPLES / "customer_query.js").read_bytes()
    installation = await add_file(client, agent, source, "customer_query.js")
    asked = {"filters": {"status": "active"}}

    missing = (await agent.execute("customer-query.queryCustomers", asked)).error
    assert missing is not None
    assert (missing.reason, missing.metadata["setting"]) == ("TABLE_NOT_ALLOWED", "DATABASE_TABLES")
    await client.set_settings(installation, {"DATABASE_TABLES": "customers"})

    async def answered(wanted: str) -> Any:
        """The answer, when what was set has come to the executor: with this reason, or none."""
        response = await agent.execute("customer-query.queryCustomers", asked)
        reason = response.error.reason if response.error else ""
        return response if reason == wanted else None

    missing = (await eventually(lambda: answered("SETTING_MISSING"))).error
    assert missing.metadata["setting"] == "DATABASE_URL"
    await client.set_secret(installation, "DATABASE_URL", shop.url)
    found = await eventually(lambda: answered(""))
    assert found.data == [{"name": "Ada", "status": "active", "note": ""}]

    hostile = {"filters": {"status": "'; DROP TABLE customers; --"}}
    assert (await agent.execute("customer-query.queryCustomers", hostile)).data == []
    assert (await (await shop.look.execute("SELECT count(*) FROM customers")).fetchone()) == (2,)

    async def queried() -> list:
        spans = await sent(system, "broker db", "db.operation.name")
        return [span for span in spans if span in system.receiver.spans[before:]]

    spans = await eventually(queried)
    assert {span.attributes["db.operation.name"] for span in spans} == {"SELECT"}
    assert all("status" not in json.dumps(span.attributes) for span in spans)


async def test_the_original_spelling_is_still_told_what_is_wrong_with_it() -> None:
    original = (EXAMPLES / "custom-db-query.js").read_text()
    repaired = (EXAMPLES / "customer_query.js").read_text()

    def squeezed(text: str) -> str:
        return re.sub(r"\s+", " ", text)

    query = re.search(r"this\.db\.query\(`(.*?)`, \[filters\.status\]\)", original, re.DOTALL)
    assert query is not None
    assert squeezed(query[1]) in squeezed(repaired)


async def test_a_model_answers_and_is_counted(system: System, client: Hardpoint, agent: Agent) -> None:
    usage = {"prompt_tokens": 21, "completion_tokens": 4}
    url = system.upstream.serve((200, {"choices": [{"message": {"content": "hello"}}], "usage": usage}))
    installation = await clerk(client, agent, "ai.call", AI_KEY=MODEL_KEY)
    await client.set_settings(installation, {"AI_URL": url, "AI_MODEL": "counted-model"})
    said = await agent.execute("clerk.ask", {"prompt": "say hello"})
    assert said.error is None, said.error
    assert said.data == {"text": "hello", "usage": {"input_tokens": 21, "output_tokens": 4}}
    run = await client.runs.GetRun(run_pb2.GetRunRequest(name=said.run))
    assert (run.usage.input_tokens, run.usage.output_tokens, run.usage.broker_calls) == (21, 4, 1)
    [asked] = system.upstream.asked(url)
    assert asked.headers["authorization"] == f"Bearer {MODEL_KEY}"

    async def counted() -> list:
        spans = await sent(system, "broker ai", "gen_ai.usage.input_tokens")
        return [span.attributes for span in spans if span.attributes["gen_ai.request.model"] == "counted-model"]

    assert (await eventually(counted))[-1]["gen_ai.usage.input_tokens"] == 21


async def test_a_mail_arrives(system: System, client: Hardpoint, agent: Agent) -> None:
    installation = await clerk(client, agent, "integration.email", SMTP_URL=f"smtp://ada:{MAIL_PASSWORD}@{MAIL}")
    await client.set_settings(installation, {"EMAIL_FROM": "ada@example.com"})
    sent_mail = await agent.execute("clerk.mail", {"to": "bob@example.org"})
    assert sent_mail.error is None, sent_mail.error
    assert system.post.last()["Message-ID"] == sent_mail.data["message_id"]
    refused = (await agent.execute("clerk.mail", {"to": "nobody@example.org"})).error
    assert refused is not None
    assert (refused.reason, refused.metadata["status"]) == ("RECIPIENT_REFUSED", "550")


async def test_no_password_is_found_anywhere(system: System, client: Hardpoint, agent: Agent, shop: Shop) -> None:
    """Each service repeats what it was sent, and the plugin passes it on by every way out."""

    def echo(asked):
        key = asked.headers["authorization"].removeprefix("Bearer ")
        return 200, {"choices": [{"message": {"content": f"<{key}> {base64.b64encode(key.encode()).decode()}"}}]}

    permissions = ("data.read", "data.write", "ai.call", "integration.email")
    secrets = {"DATABASE_URL": shop.url, "AI_KEY": MODEL_KEY, "SMTP_URL": f"smtp://ada:{MAIL_PASSWORD}@{MAIL}"}
    installation = await clerk(client, agent, *permissions, **secrets)
    settings = {"AI_URL": system.upstream.serve(echo), "AI_MODEL": "small", "EMAIL_FROM": "ada@example.com"}
    await client.set_settings(installation, {**settings, "DATABASE_TABLES": "customers"})
    await shop.look.execute("UPDATE customers SET note = %s", (f"{shop.password} {shop.url}",))

    told = []
    for action, input in [
        ("query", {"sql": "SELECT note FROM customers"}),
        ("query", {"sql": "SELECT encode(convert_to(note, 'UTF8'), 'base64') AS note FROM customers"}),
        ("query", {"sql": "SELECT note::int AS note FROM customers"}),
        ("execute", {"sql": "UPDATE customers SET name = repeat('x', note::int)"}),
        ("ask", {"prompt": "a"}),
        ("ask", {"prompt": "a", "fail": True}),
        ("mail", {"to": "nobody@example.org"}),
    ]:
        response = await agent.execute(f"clerk.{action}", input)
        told.append(repr((response.data, response.error and vars(response.error), str(response.error))))
        told.append(str(await client.runs.GetRun(run_pb2.GetRunRequest(name=response.run))))
    await client.set_secret(installation, "DATABASE_URL", f"postgresql://x:{shop.password}@{DATABASE}/none")
    refused = await eventually(lambda: login_refused(agent))
    told.append(repr((vars(refused), str(refused))))
    assert "[secret DATABASE_URL]" in told[0]
    assert "[secret SMTP_URL password]" in "".join(told)

    await eventually(lambda: sent(system, "broker email", "error.type"))
    places = {
        "answers": told,
        "tables": await dump(system),
        "log": [system.deployment.log()],
        "spans": [repr(span) for span in system.receiver.spans],
        "metrics": [str(metric) for metric in system.receiver.metrics],
    }
    for place, texts in places.items():
        whole = "\n".join(texts)
        for secret in (shop.password, MODEL_KEY, MAIL_PASSWORD):
            for spelled in (secret, secret[::-1], base64.b64encode(secret.encode()).decode().rstrip("=")):
                assert spelled not in whole, (place, secret)


async def login_refused(agent: Agent) -> Any:
    error = (await agent.execute("clerk.query", {"sql": "SELECT 1"})).error
    return error if error and error.reason == "LOGIN_REFUSED" else None


async def sent(system: System, name: str, attribute: str) -> list:
    """Spans of this name that have an attribute."""
    return [span for span in system.receiver.spans if span.name == name and attribute in span.attributes]
