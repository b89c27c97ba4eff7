"""An organisation with a PostgreSQL of its own, and brokers that reach it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from executor.brokers import Place, broker_of, client_of
from hardpoint_executor.broker.broker import Broker
from hardpoint_executor.broker.databases import Databases
from hardpoint_executor.broker.denial import BrokerDenied

DATA = frozenset({"data.read", "data.write", "data.delete"})
TABLES = "customers, kinds, sales.orders"
MADE = """
    CREATE TABLE customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE,
        status text NOT NULL DEFAULT 'new', tags text[], about jsonb, total numeric, joined date);
    INSERT INTO customers (name, status) VALUES ('Ada', 'open'), ('Bob', 'shut'), ('Eve', 'open');
    CREATE SCHEMA sales;
    CREATE TABLE sales.orders (id int);
    CREATE TABLE salaries (id int);
    INSERT INTO salaries VALUES (1);
"""
Org = Callable[..., Broker]


@pytest.fixture
async def org(database_url: Callable[..., Awaitable[str]]) -> AsyncIterator[tuple[Org, psycopg.AsyncConnection]]:
    """A maker of brokers whose organisation has a database, and a connection to look into it."""
    url = await database_url()
    async with connected(url) as (maker, look):
        await look.execute(MADE)
        yield maker, look


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[tuple[Org, psycopg.AsyncConnection]]:
    made = make_url(url)
    at = f"{made.host}:{made.port}"
    plain = made.set(drivername="postgresql")
    public = plain.set(host="db.example.com", port=None).render_as_string(hide_password=False)
    async with (
        await psycopg.AsyncConnection.connect(plain.render_as_string(hide_password=False), autocommit=True) as look,
        client_of({"db.example.com": Place(at)}) as client,
    ):
        databases = Databases(client.dialler, client.tls)

        def maker(permissions: frozenset[str] = DATA, **rest: Any) -> Broker:
            rest.setdefault("settings", {"DATABASE_TABLES": TABLES})
            rest.setdefault("secrets", {"DATABASE_URL": public})
            return broker_of(client, permissions=permissions, databases=databases, **rest)

        yield maker, look
        databases.close()


async def query(broker: Broker, sql: str, *params: Any, **rest: Any) -> Any:
    return await broker.ask("db", "query", {"sql": sql, "params": list(params), **rest})


async def denial(broker: Broker, method: str, arguments: Mapping[str, Any]) -> BrokerDenied:
    with pytest.raises(BrokerDenied) as denied:
        await broker.ask("db", method, arguments)
    assert denied.value.fix
    return denied.value


async def refused(broker: Broker, sql: str, *params: Any, method: str = "query") -> BrokerDenied:
    return await denial(broker, method, {"sql": sql, "params": list(params)})
