"""Two databases of one agent: each installation is called by its own name, and keeps to its own URL and grants."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from hardpoint.registry.v1 import registry_pb2
from hardpoint.runtime.v1 import run_pb2
from hardpoint_client import Agent, Hardpoint

from .conftest import DATABASE, System, add_file
from .orders import orders, start, until
from .test_s01_create_and_call import run_cli

pytestmark = pytest.mark.jail
QUERY = "SELECT name FROM customers ORDER BY name"
CODE = """
export default {
  id: 'comparer', name: 'Comparer', version: '1.0.0', description: 'Compares two databases',
  calls: ['database.query', 'reporting.query'], permissions: ['data.read', 'compute.moderate'],
  actions: {
    async both() {
      const names = async (action) => (await this.call(action, { sql: '%s' })).rows.map((row) => row.name);
      return [await names('database.query'), await names('reporting.query')];
    },
    async theirs() { return this.call('reporting.query', { sql: '%s' }); }
  }
};
""" % (QUERY, QUERY)  # noqa: UP031 - the code has braces
FLOW = {
    "id": "reader",
    "name": "Reader",
    "version": "1.0.0",
    "description": "Reads reports",
    "permissions": ["data.read", "compute.moderate"],
    "flow": {
        "nodes": [
            {"id": "input", "type": "input"},
            {"id": "read", "type": "call", "action": "reporting.query", "input": {"sql": QUERY}},
            {"id": "output", "type": "output", "value": "${steps.read.rows}"},
        ],
        "edges": [{"from": "input", "to": "read"}, {"from": "read", "to": "output"}],
    },
}


@dataclass
class Shop:
    """A database of the organisation: its URL as that sets it, and a connection that looks into it."""

    url: str
    look: psycopg.AsyncConnection

    async def names(self) -> list[str]:
        return [name for (name,) in await (await self.look.execute(QUERY.encode())).fetchall()]


@pytest.fixture
async def shops(database_url: Callable[..., Awaitable[str]]) -> AsyncIterator[tuple[Shop, Shop]]:
    """The orders' database with Ada, the reports' with Grace; each with a role of its own."""
    made = [make_url(await database_url()).set(drivername="postgresql") for _ in range(2)]
    places = [url.render_as_string(hide_password=False) for url in made]
    async with (
        await psycopg.AsyncConnection.connect(places[0], autocommit=True) as one,
        await psycopg.AsyncConnection.connect(places[1], autocommit=True) as two,
    ):
        urls = [url.set(host=DATABASE, port=5432).render_as_string(hide_password=False) for url in made]
        shops = Shop(urls[0], one), Shop(urls[1], two)
        for shop, name in zip(shops, ("Ada", "Grace"), strict=True):
            await shop.look.execute("CREATE TABLE customers (name text)")
            await shop.look.execute("INSERT INTO customers VALUES (%s)", [name])
        yield shops


@pytest.fixture
async def both(system: System, client: Hardpoint, agent: Agent, org: str, shops: tuple[Shop, Shop]) -> Agent:
    """An agent with `database`, and with `reporting`, which may only read."""
    words = "install hardpoint/database --as reporting --grant data.read --grant compute.moderate"
    made = await run_cli(system.cli_environment(org), *words.split())
    assert made["installation"]["own_name"] is True
    for name, shop in zip(("database", "reporting"), shops, strict=True):
        await client.set_secret(name, "DATABASE_URL", shop.url)
        await client.set_settings(name, {"DATABASE_TABLES": "customers"})
        await client.attach(agent.id, name, priority=10 if name == "reporting" else 0)
    return agent


async def add(client: Hardpoint, agent: Agent, capability: dict[str, Any]) -> None:
    data = json.dumps({"capability": capability}).encode()
    await add_file(client, agent, data, "capability.json")


def rows(*names: str) -> dict[str, list[dict[str, str]]]:
    return {"rows": [{"name": name} for name in names]}


async def test_each_call_reaches_the_database_it_names_with_what_that_one_was_granted(
    system: System, client: Hardpoint, both: Agent, org: str, shops: tuple[Shop, Shop]
) -> None:
    listed = {tool.name: tool.installation.rpartition("/")[2] for tool in await both.tools()}
    verbs = ("query", "insert", "update", "delete")
    assert listed == {f"{name}.{verb}": name for name in ("database", "reporting") for verb in verbs}
    assert (await both.execute("database.query", {"sql": QUERY})).data == rows("Ada")
    assert (await both.execute("reporting.query", {"sql": QUERY})).data == rows("Grace")

    row = {"table": "customers", "data": {"name": "Bob"}}
    assert (await both.execute("database.insert", row)).data == {"rows": 1}
    denied = (await both.execute("reporting.insert", row)).error
    assert denied is not None
    assert (denied.reason, denied.metadata["permission"]) == ("PERMISSION_NOT_GRANTED", "data.write")
    assert [await shop.names() for shop in shops] == [["Ada", "Bob"], ["Grace"]]

    environment = system.cli_environment(org)
    called = await run_cli(environment, "call", both.id, "reporting.query", "--input", json.dumps({"sql": QUERY}))
    assert called["output"] == rows("Grace")
    await client.detach(both.id, "reporting")
    gone = (await both.execute("reporting.query", {"sql": QUERY})).error
    assert gone is not None
    assert "reporting was detached at " in gone.message


async def test_code_flows_and_workflows_of_the_org_call_both(
    client: Hardpoint, both: Agent, shops: tuple[Shop, Shop]
) -> None:
    await add_file(client, both, CODE.encode(), "comparer.js")
    compared = await both.execute("comparer.both")
    assert compared.error is None, compared.error
    assert compared.data == [["Ada"], ["Grace"]]

    await add(client, both, FLOW)
    read = await both.execute("reader.run")
    assert read.error is None, read.error
    assert read.data == rows("Grace")["rows"]

    document = orders(
        {"id": "read", "action": "reporting.query", "effect": "read", "input": {"sql": QUERY}, "output": "found"},
        {"id": "store", "action": "database.insert", "table": "customers", "data": "${found.rows}"},
    )
    permissions = ["data.read", "data.write", "compute.moderate"]
    await add(client, both, {**document, "permissions": permissions, "hosts": []})
    run = await until(client, (await start(client, both)).name)
    assert run.state == run_pb2.RUN_STATE_SUCCEEDED, run
    steps = (await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=run.name))).steps
    assert [step.action for step in steps] == ["reporting.query", "database.insert"]
    assert [await shop.names() for shop in shops] == [["Ada", "Grace"], ["Grace"]]


async def test_what_another_org_published_does_not_know_the_name(system: System, both: Agent, org: str) -> None:
    """Its author could only guess it; what it was granted is for the capability of that id."""
    author = system.client(f"{org}-author")
    pushed = await author.push(CODE.encode(), "comparer.js", visibility=registry_pb2.VISIBILITY_PUBLIC)
    release = await author.publish(pushed.release.name)
    client = system.client(org)
    capability = release.name.partition("/releases/")[0]
    await client.install(capability, grants=release.manifest.authority)
    await client.attach(both.id, "comparer")
    denied = (await both.execute("comparer.theirs")).error
    assert denied is not None
    assert denied.reason == "CALLEE_NOT_INSTALLED"
    assert denied.metadata["installation"] == f"orgs/{org}/installations/reporting"
