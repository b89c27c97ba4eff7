"""The service `db` on a real PostgreSQL: what a statement may do, what comes back, and what never gets out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg
import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import make_url

from executor.brokers import Place, broker_of, client_of
from hardpoint_executor.broker.broker import Broker
from hardpoint_executor.broker.databases import Databases
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.limits import BrokerLimits
from hardpoint_executor.broker.sql import read

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


async def test_rows_come_back_by_name(org) -> None:
    maker, _ = org
    broker = maker(frozenset({"data.read"}))
    rows = await query(broker, "SELECT name, status FROM customers WHERE status = $1 ORDER BY name LIMIT 100", "open")
    assert rows == [{"name": "Ada", "status": "open"}, {"name": "Eve", "status": "open"}]
    assert (broker.usage.calls, broker.usage.permissions) == (1, {"data.read"})
    assert broker.usage.bytes_sent > 0
    assert broker.usage.bytes_received > 0


async def test_a_value_is_never_part_of_the_statement(org) -> None:
    maker, look = org
    hostile = "'; DROP TABLE customers; --"
    assert await query(maker(), "SELECT name FROM customers WHERE name = $1", hostile) == []
    await maker().ask("db", "insert", {"table": "customers", "rows": {"name": hostile}})
    assert await query(maker(), "SELECT name FROM customers WHERE name = $1", hostile) == [{"name": hostile}]
    assert (await (await look.execute("SELECT count(*) FROM customers")).fetchone()) == (4,)


@pytest.mark.parametrize(
    ("sql", "needed"),
    [
        ("SELECT * FROM customers", "data.read"),
        ("SELECT 1", "data.read"),
        ("VALUES (1)", "data.read"),
        ("INSERT INTO customers (name) VALUES ('x')", "data.write"),
        ("INSERT INTO customers (name) SELECT name FROM customers", "data.read"),
        ("INSERT INTO customers (name) VALUES ('x') RETURNING id", "data.read"),
        ("UPDATE customers SET status = 'x' WHERE id = 1", "data.write"),
        ("UPDATE customers SET status = o.id::text FROM sales.orders o", "data.read"),
        ("DELETE FROM customers WHERE id = 1", "data.delete"),
        ("DELETE FROM customers USING kinds", "data.read"),
        ("TRUNCATE customers", "data.delete"),
        ("WITH gone AS (DELETE FROM customers RETURNING id) SELECT * FROM gone", "data.delete"),
        ("SELECT * FROM (WITH x AS (UPDATE customers SET name = '' RETURNING 1) SELECT * FROM x) y", "data.write"),
        ("INSERT INTO customers (name) VALUES ((SELECT max(name) FROM customers))", "data.read"),
    ],
)
async def test_every_statement_has_its_own_permission(org, sql: str, needed: str) -> None:
    """Everything but the one: what is missing is named, and the table is as it was."""
    maker, look = org
    method = "query" if sql.startswith(("SELECT", "VALUES", "WITH")) else "execute"
    denied = await refused(maker(DATA - {needed}), sql, method=method)
    assert (denied.code, denied.facts["permission"]) == (DenialCode.PERMISSION_NOT_GRANTED, needed)
    rows = await (await look.execute("SELECT name, status FROM customers ORDER BY id")).fetchall()
    assert rows == [("Ada", "open"), ("Bob", "shut"), ("Eve", "open")]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; DROP TABLE customers",
        "DROP TABLE customers",
        "CREATE TABLE x (id int)",
        "SELECT * INTO x FROM customers",
        "CREATE TABLE x AS SELECT 1",
        "COPY customers TO PROGRAM 'true'",
        "COPY customers TO STDOUT",
        "DO $$ BEGIN END $$",
        "CALL f()",
        "SET ROLE postgres",
        "BEGIN",
        "COMMIT",
        "VACUUM",
        "LISTEN x",
        "EXPLAIN ANALYZE DELETE FROM customers",
        "PREPARE x AS SELECT 1",
        "MERGE INTO customers USING kinds ON true WHEN MATCHED THEN DELETE",
        "TRUNCATE customers CASCADE",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_catalog.pg_read_file('/etc/passwd')",
        "SELECT PG_READ_FILE('/etc/passwd')",
        "SELECT \"pg_read_file\"('/etc/passwd')",
        'SELECT U&"\\0070g_sleep"(10)',
        "SELECT * FROM dblink('host=10.0.0.1', 'SELECT 1') AS x(a int)",
        "SELECT lo_import('/etc/passwd')",
        "SELECT set_config('statement_timeout', '0', false)",
        "SELECT current_setting('data_directory')",
        "SELECT pg_sleep(1)",
        "SELECT 1 WHERE pg_sleep(1) IS NULL",
        "SELECT count(*) FILTER (WHERE pg_advisory_lock(1) IS NULL)",
        "SELECT 1 ORDER BY pg_sleep(1)",
        "SELECT sum(1) OVER (ORDER BY pg_sleep(1))",
        "SELECT 1 LIMIT (SELECT pg_backend_pid())",
        "WITH x AS (SELECT pg_sleep(1)) SELECT 1",
        "SELECT ARRAY[pg_sleep(1)]",
        "SELECT CASE WHEN pg_sleep(1) IS NULL THEN 1 END",
        "SELECT query_to_xml('SELECT * FROM salaries', true, true, '')",
        "SELECT * FROM ts_stat('SELECT * FROM salaries')",
        "SELECT nextval('customers_id_seq')",
        "SELECT public.now()",
        "SELECT current_user",
        "SELECT 1 OPERATOR(public.+) 2",
        "SELECT ('/etc/passwd').pg_read_file",
        "SELECT (1).pg_sleep",
        "SELECT (name).pg_ls_dir FROM customers",
        "SELECT (f.f).pg_read_file FROM (SELECT '/etc/passwd'::text AS f) AS f",
        "SELECT (ARRAY['/etc/passwd'])[1].pg_read_file",
        "SELECT (jsonb_populate_record(NULL::customers, '{}')).name.pg_read_file",
        "SELECT f.pg_read_file FROM unnest(ARRAY['/etc/passwd']) AS f",
        "SELECT (SELECT f.pg_sleep) FROM generate_series(1, 1) AS f",
        "SELECT pg_read_file.pg_read_file FROM unnest(ARRAY['/etc/passwd']) AS pg_read_file(a)",
        "SELECT unnest.pg_read_file FROM unnest(ARRAY['/etc/passwd'])",
        "SELECT f.pg_read_file FROM CAST('/etc/passwd' AS text) AS f",
        "SELECT text.pg_read_file FROM CAST('/etc/passwd' AS text)",
        "SELECT f.pg_read_file FROM unnest(ARRAY['/etc/passwd']) f, (SELECT 1 FROM unnest('{1}'::int[]) f(pg_read_file)) x",
        "SELECT f.pg_sleep FROM unnest((SELECT array_agg(1) FROM jsonb_to_record('{}') AS x(pg_sleep int))) AS f",
        "SELECT 1 OPERATOR(public.=) ANY (SELECT 1)",
        "SELECT 1 ORDER BY 1 USING OPERATOR(public.<)",
        'SELECT * FROM "sales.orders"',
        "SELECT * FROM XMLTABLE('/' PASSING '<a/>' COLUMNS a text)",
    ],
)
async def test_what_no_capability_can_run(org, sql: str) -> None:
    maker, _ = org
    assert (await refused(maker(), sql)).code in (DenialCode.STATEMENT_REFUSED, DenialCode.INVALID_ARGUMENT)
    assert await query(maker(), "SELECT count(*) AS n FROM customers") == [{"n": 3}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT e.key AS a FROM jsonb_each('{\"x\": 1}') AS e",
        "SELECT (jsonb_each('{\"x\": 1}')).key AS a",
        "SELECT (jsonb_populate_record(NULL::customers, '{\"name\": \"x\"}')).name AS a",
        "SELECT r.name AS a FROM jsonb_populate_recordset(NULL::customers, '[{\"name\": \"x\"}]') AS r",
        "SELECT r.a FROM jsonb_to_recordset('[{\"a\": \"x\"}]') AS r(a text)",
        "SELECT u.a FROM unnest(ARRAY['x']) WITH ORDINALITY AS u(a, n) WHERE u.n = 1",
        "SELECT r.a FROM ROWS FROM (jsonb_to_recordset('[{\"a\": \"x\"}]') AS (a text), unnest('{1}'::int[])) AS r",
        "SELECT u.u AS a FROM unnest(ARRAY['x']) AS u",
        "SELECT ('X').lower AS a",
        "SELECT c.name AS a FROM (SELECT 'x' AS name) AS c, public.customers AS d WHERE d.name = 'Ada'",
    ],
)
async def test_fields_of_what_functions_give(org, sql: str) -> None:
    maker, _ = org
    every = {"settings": {"DATABASE_TABLES": "*"}}
    assert await query(maker(**every), sql) == [{"a": "x"}]


@pytest.mark.parametrize(
    ("sql", "table"),
    [
        ("SELECT * FROM salaries", "salaries"),
        ("SELECT * FROM public.customers", "public.customers"),
        ("SELECT * FROM orders", "orders"),
        ("SELECT * FROM customers, salaries", "salaries"),
        ("SELECT (SELECT count(*) FROM salaries)", "salaries"),
        ("SELECT 1 WHERE EXISTS (TABLE salaries)", "salaries"),
        ("SELECT * FROM customers UNION SELECT * FROM salaries", "salaries"),
        ("WITH salaries AS (SELECT * FROM salaries) SELECT * FROM salaries", "salaries"),
        ("SELECT * FROM (WITH salaries AS (SELECT 1) SELECT 1) x, salaries", "salaries"),
        ("WITH x AS (SELECT * FROM y), y AS (SELECT 1) SELECT * FROM x", "y"),
        ("WITH salaries AS (SELECT 1) SELECT * FROM public.salaries", "public.salaries"),
        ("WITH salaries AS (SELECT 1) INSERT INTO salaries SELECT 1", "salaries"),
        ("INSERT INTO customers (name) SELECT id FROM salaries", "salaries"),
        ("UPDATE customers SET name = (SELECT max(id) FROM salaries)", "salaries"),
        ("DELETE FROM customers USING salaries", "salaries"),
        ("TRUNCATE customers, salaries", "salaries"),
        ("SELECT * FROM pg_authid", "pg_authid"),
        ("SELECT * FROM information_schema.tables", "information_schema.tables"),
        ("SELECT * FROM hardpoint_effects", "hardpoint_effects"),
    ],
)
async def test_only_tables_that_the_setting_names(org, sql: str, table: str) -> None:
    maker, _ = org
    method = "query" if sql.startswith(("SELECT", "WITH")) else "execute"
    denied = await refused(maker(), sql, method=method)
    assert (denied.code, denied.facts["table"]) == (DenialCode.TABLE_NOT_ALLOWED, table)
    assert denied.facts["setting"] == "DATABASE_TABLES"


async def test_without_the_setting_there_is_no_table_and_a_star_is_all_but_the_systems(org) -> None:
    maker, _ = org
    denied = await refused(maker(settings={}), "SELECT * FROM customers")
    assert denied.code == DenialCode.TABLE_NOT_ALLOWED
    assert "DATABASE_TABLES" in denied.message + denied.fix
    every = {"settings": {"DATABASE_TABLES": "*"}}
    assert await query(maker(**every), "SELECT count(*) AS n FROM public.salaries") == [{"n": 1}]
    for table in ("pg_authid", "pg_catalog.pg_class", "information_schema.tables", "hardpoint_effects"):
        assert (await refused(maker(**every), f"SELECT * FROM {table}")).code == DenialCode.TABLE_NOT_ALLOWED


async def test_a_read_cannot_write_whatever_the_database_offers(org) -> None:
    """A view of the organisation's, over a function that writes: the second wall."""
    maker, look = org
    await look.execute("""
        CREATE FUNCTION grow() RETURNS int LANGUAGE sql AS $$ INSERT INTO salaries VALUES (2) RETURNING 1 $$;
        CREATE VIEW kinds AS SELECT grow() AS n;
    """)
    denied = await refused(maker(frozenset({"data.read"})), "SELECT * FROM kinds")
    assert (denied.code, denied.facts["sqlstate"]) == (DenialCode.STATEMENT_FAILED, "25006")
    assert await (await look.execute("SELECT id FROM salaries")).fetchall() == [(1,)]


async def test_values_come_back_without_loss(org) -> None:
    maker, _ = org
    [row] = await query(
        maker(),
        """SELECT 12.50::numeric AS price, 12345678901234567.89::numeric AS exact, 9007199254740992 AS big,
            9007199254740993 AS bigger, 'NaN'::float8 AS nan, 0.1::float8 AS tenth, true AS yes, NULL AS nothing,
            date '2026-02-01' AS day, timestamp '2026-02-01 10:30:00.5' AS moment,
            timestamptz '2026-02-01 10:30:00+02' AS instant, time '10:30' AS clock, interval '1 day 2 hours' AS span,
            decode('00ff', 'hex') AS raw, '{"a": [1, 2.5]}'::jsonb AS doc, ARRAY['a', NULL] AS texts,
            ARRAY[[1, 2], [3, 4]] AS grid, '{9007199254740993}'::bigint[] AS bigs,
            'c0a80000-0000-4000-8000-000000000001'::uuid AS id, int4range(1, 3) AS range, 'x'::text AS "a ""b"" c",
            '2026-01-01'::date + generate_series(0, 0) AS made, ROW(1, 'a') AS pair, '1e999'::json AS huge,
            ('[' || repeat('[', 3000) || repeat(']', 3000) || ']')::json AS deep""",
    )
    deep = row.pop("deep")
    assert isinstance(deep, str)
    assert row == {
        "price": 12.5,
        "exact": "12345678901234567.89",
        "big": 9007199254740992,
        "bigger": "9007199254740993",
        "nan": "NaN",
        "tenth": 0.1,
        "yes": True,
        "nothing": None,
        "day": "2026-02-01",
        "moment": "2026-02-01T10:30:00.5",
        "instant": "2026-02-01T08:30:00+00:00",
        "clock": "10:30:00",
        "span": "P1DT2H",
        "raw": "AP8=",
        "doc": {"a": [1, 2.5]},
        "texts": ["a", None],
        "grid": [[1, 2], [3, 4]],
        "bigs": ["9007199254740993"],
        "id": "c0a80000-0000-4000-8000-000000000001",
        "range": "[1,3)",
        'a "b" c': "x",
        "made": "2026-01-01",
        "pair": "(1,a)",
        "huge": "1e999",
    }


async def test_values_of_every_kind_go_in(org) -> None:
    maker, _ = org
    given = {"name": "Zoe", "tags": ["a", 'b"', None], "about": {"lines": [1, {"x": None}]}, "total": 1.5}
    assert await maker().ask("db", "insert", {"table": "customers", "rows": given}) == {"rows": 1}
    shown = "SELECT name, tags, about, total FROM customers WHERE name = $1"
    assert await query(maker(), shown, "Zoe") == [given]
    await query(
        maker(),
        "UPDATE customers SET tags = $1, about = $2, total = $3, joined = $4 WHERE name = $5",
        ["c", "d"],
        [1, "two"],
        2.0,
        "2026-03-01",
        "Zoe",
    )
    assert await query(maker(), shown.replace("total", "total, joined"), "Zoe") == [
        {"name": "Zoe", "tags": ["c", "d"], "about": [1, "two"], "total": 2, "joined": "2026-03-01"}
    ]
    assert len(await query(maker(), "SELECT 1 FROM customers WHERE name = ANY($1)", ["Ada", "Bob"])) == 2
    rows = [{"name": "Kim"}, {"name": "Lee"}]
    assert await maker().ask("db", "insert", {"table": "customers", "rows": rows}) == {"rows": 2}
    assert await query(maker(), "SELECT status FROM customers WHERE name = 'Kim'") == [{"status": "new"}]
    changed = await maker().ask("db", "execute", {"sql": "DELETE FROM customers WHERE name = $1", "params": ["Kim"]})
    assert changed == {"rows": 1}


@pytest.mark.parametrize(
    "arguments",
    [
        {"rows": {"name": "x"}},
        {"table": "customers"},
        {"table": "customers", "rows": []},
        {"table": "customers", "rows": [{}]},
        {"table": "customers", "rows": ["x"]},
        {"table": "customers", "rows": [{"name": "x"}, {"status": "y"}]},
        {"table": "customers", "rows": {"": 1}},
        {"table": "customers", "rows": {"x\0": 1}},
        {"table": "", "rows": {"name": "x"}},
        {"table": "x.pg_catalog.pg_class", "rows": {"relname": "x"}},
    ],
)
async def test_rows_that_are_none(org, arguments: dict[str, Any]) -> None:
    maker, _ = org
    every = maker(settings={"DATABASE_TABLES": "*"})
    assert (await denial(every, "insert", arguments)).code == DenialCode.INVALID_ARGUMENT


async def test_names_cannot_carry_sql(org) -> None:
    maker, look = org
    name = "customers\" (name) VALUES ('x'); DROP TABLE customers; --"
    for arguments in (
        {"table": name, "rows": {"name": "x"}},
        {"table": "customers", "rows": {name: "x"}},
        {"table": "salaries", "rows": {"id": 1}},
    ):
        denied = await denial(maker(), "insert", arguments)
        assert denied.code in (DenialCode.TABLE_NOT_ALLOWED, DenialCode.STATEMENT_FAILED)
    assert (await (await look.execute("SELECT count(*) FROM customers")).fetchone()) == (3,)


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("SELEC 1", []),
        ("", []),
        ("SELECT 1\0", []),
        ("SELECT '\ud800'", []),
        ("SELECT $1::text", ["a\0b"]),
        ("SELECT $1::text", ["\ud800"]),
        ("SELECT 1 AS a, 2 AS a", []),
        ("SELECT $1::int[], $2::int", [[1]]),
    ],
)
async def test_statements_that_mean_nothing(org, sql: str, params: list[Any]) -> None:
    maker, _ = org
    code = (await refused(maker(), sql, *params)).code
    assert code in (DenialCode.INVALID_ARGUMENT, DenialCode.STATEMENT_REFUSED)


@pytest.mark.parametrize(
    "nest",
    [
        "SELECT {}1{}|(|)",
        "SELECT {}1{}|- |",
        "SELECT 1{}{}|+1|",
        "SELECT {}true{}|NOT |",
        "SELECT {}1{}|ARRAY[|]",
        "SELECT {}1{}|(SELECT |)",
        "SELECT 1{}{}| UNION SELECT 1|",
        "SELECT 1 FROM a{}{}| JOIN a ON true|",
        "SELECT {}1{}|CASE WHEN true THEN | END",
        "SELECT 1{}{}|::int|",
        "SELECT {}1{}|abs(|)",
        "SELECT a{}{}|[1]|",
        "{}SELECT 1{}|WITH a AS (|) SELECT 1",
        "SELECT 1 FROM {}a{}|(| CROSS JOIN a)",
        "SELECT 1 WHERE a{}{}| AND a|",
    ],
)
async def test_nests_as_deep_as_fit_do_not_hurt_the_parser(org, nest: str) -> None:
    maker, _ = org
    form, before, after = nest.split("|")
    deep = 16_000 // len(before + after)
    whole = form.format(before * deep, after * deep)
    with suppress(BrokerDenied):
        await query(maker(), whole)
    assert await query(maker(), "SELECT 1 AS n") == [{"n": 1}]
    assert (await refused(maker(), whole + " " * 16_384)).code == DenialCode.STATEMENT_REFUSED


async def test_an_answer_has_bounds(org) -> None:
    maker, _ = org
    few = BrokerLimits(rows=10, response_bytes=100_000)
    denied = await refused(maker(limits=few), "SELECT generate_series(1, 11) AS n")
    assert (denied.code, denied.facts["limit"]) == (DenialCode.RESPONSE_TOO_LARGE, "10 rows")
    for sql in ("SELECT repeat('x', 50000000) AS a", "SELECT repeat('x', 50000000)::int AS a"):
        broker = maker(limits=few)
        denied = await refused(broker, sql)
        assert (denied.code, denied.facts["limit"]) == (DenialCode.RESPONSE_TOO_LARGE, "100000 bytes")
        assert broker.usage.bytes_received < 400_000
    assert len(await query(maker(limits=few), "SELECT generate_series(1, 10) AS n")) == 10


async def test_a_statement_has_a_deadline_there_and_here(org) -> None:
    maker, look = org
    await look.execute("CREATE VIEW kinds AS SELECT pg_sleep(60)::text AS n")
    running = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'hardpoint' AND state = 'active'"
    denied = await refused(maker(limits=BrokerLimits(call_seconds=0.3)), "SELECT * FROM kinds")
    assert denied.code == DenialCode.UPSTREAM_TIMEOUT
    async with asyncio.timeout(10):
        while await (await look.execute(running)).fetchall():
            await asyncio.sleep(0.05)


async def test_connections_are_kept_for_one_capability_and_are_few(org) -> None:
    maker, look = org
    ours = "application_name = 'hardpoint' AND datname = current_database()"
    count = f"SELECT count(*) FROM pg_stat_activity WHERE {ours}"
    brokers = [maker() for _ in range(12)]
    await asyncio.gather(*(query(broker, "SELECT 1 AS n") for broker in brokers))
    async with asyncio.timeout(10):
        while (await (await look.execute(count)).fetchone()) > (2,):
            await asyncio.sleep(0.05)
    await query(maker(), "SELECT 1 AS n")
    assert (0,) < (await (await look.execute(count)).fetchone()) <= (2,)


async def test_a_connection_that_the_server_ended_is_replaced(org) -> None:
    maker, look = org
    await query(maker(), "SELECT 1 AS n")
    ours = "application_name = 'hardpoint' AND datname = current_database()"
    end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}"
    await look.execute(end)
    assert await query(maker(), "SELECT 1 AS n") == [{"n": 1}]


async def test_what_the_database_says_is_told_apart(org) -> None:
    maker, _ = org
    denied = await denial(maker(), "insert", {"table": "customers", "rows": {"name": "Ada"}})
    assert (denied.code, denied.facts) == (
        DenialCode.STATEMENT_FAILED,
        {"sqlstate": "23505", "constraint": "customers_name_key"},
    )
    assert "duplicate key" in denied.message
    assert (await refused(maker(), "SELECT nope FROM customers")).facts == {"sqlstate": "42703"}
    assert await query(maker(), "SELECT 1 AS n") == [{"n": 1}]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("", DenialCode.SETTING_MISSING),
        ("mysql://u:canary-pw@db.example.com/x", DenialCode.SETTING_INVALID),
        ("postgresql://db.example.com/x", DenialCode.SETTING_INVALID),
        ("postgresql://u:canary-pw@127.0.0.1/x", DenialCode.SETTING_INVALID),
        ("postgresql://u:canary-pw@localhost/x", DenialCode.SETTING_INVALID),
        ("postgresql://u:canary-pw@db.example.com:99999/x", DenialCode.SETTING_INVALID),
        ("postgresql://u:canary-pw@db.example.com/x?sslmode=prefer", DenialCode.SETTING_INVALID),
        ("postgresql://u:canary-pw@db.example.com/x?host=10.0.0.1", DenialCode.SETTING_INVALID),
        ("postgresql://u:canary-pw@db.example.com/x?options=-crole%3Dx", DenialCode.SETTING_INVALID),
        ("postgresql://u:canary-pw@nowhere.example.com/x", DenialCode.UPSTREAM_UNREACHABLE),
        ("postgresql://u:canary-pw@db.example.com/x", DenialCode.LOGIN_REFUSED),
    ],
)
async def test_a_url_that_leads_nowhere(org, url: str, code: DenialCode) -> None:
    maker, _ = org
    denied = await refused(maker(secrets={"DATABASE_URL": url}), "SELECT 1")
    assert (denied.code, denied.facts["setting"]) == (code, "DATABASE_URL")
    assert "example.com" not in denied.message + denied.fix
    assert "canary-pw" not in denied.message + denied.fix + str(denied.facts)


async def test_another_connection_is_another_secret(org) -> None:
    maker, _ = org
    url = maker().secrets.value("DATABASE_URL")
    broker = maker(secrets={"REPORTING_URL": url})
    assert await query(broker, "SELECT 1 AS n", connection="REPORTING_URL") == [{"n": 1}]
    assert (await refused(broker, "SELECT 1")).facts["setting"] == "DATABASE_URL"


async def test_a_write_with_a_key_is_done_once(org) -> None:
    maker, look = org
    insert = {"table": "customers", "rows": {"name": "Kim"}}

    async def attempt() -> list[Any]:
        broker = maker(idempotency_key="run-1/save")
        changed = await broker.ask("db", "insert", insert)
        made = await query(broker, "INSERT INTO sales.orders VALUES (7) RETURNING id")
        again = await query(broker, "INSERT INTO sales.orders VALUES (7) RETURNING id")
        assert "idempotent" not in await broker.ask("context", "get", {})
        return [changed, made, again]

    first = await attempt()
    assert first == [{"rows": 1}, [{"id": 7}], [{"id": 7}]]
    assert await attempt() == first
    assert await asyncio.gather(attempt(), attempt()) == [first, first]
    assert await (await look.execute("SELECT id FROM sales.orders")).fetchall() == [(7,), (7,)]
    other = maker(idempotency_key="run-2/save")
    assert (await denial(other, "insert", insert)).facts["sqlstate"] == "23505"
    assert await (await look.execute("SELECT count(*) FROM hardpoint_effects")).fetchone() == (3,)


async def test_two_first_attempts_at_once_do_it_once(org) -> None:
    maker, look = org
    sql = {"sql": "INSERT INTO sales.orders VALUES ($1)", "params": [1]}
    brokers = [maker(idempotency_key="k") for _ in range(4)]
    answers = await asyncio.gather(*(broker.ask("db", "execute", sql) for broker in brokers))
    assert answers == [{"rows": 1}] * 4
    assert await (await look.execute("SELECT id FROM sales.orders")).fetchall() == [(1,)]


async def test_where_effects_cannot_be_recorded_the_context_says_so(org) -> None:
    maker, look = org
    await look.execute("CREATE TYPE hardpoint_effects AS (a int)")  # a table of that name cannot be made
    broker = maker(idempotency_key="k")
    for _ in range(2):
        assert await broker.ask("db", "execute", {"sql": "INSERT INTO sales.orders VALUES (1)"}) == {"rows": 1}
    assert (await broker.ask("context", "get", {}))["idempotent"] is False


async def test_the_security_log_names_what_was_refused_and_quotes_nothing(org) -> None:
    maker, _ = org
    with structlog.testing.capture_logs() as logs:
        await refused(maker(), "SELECT * FROM salaries")
        await refused(maker(frozenset({"data.read"})), "DELETE FROM customers WHERE name = 'hidden-1'")
        await refused(maker(), "SELECT 'hidden-2' FROM")
        await refused(maker(), "SELECT $1::int AS n", "hidden-3")
        await refused(maker(), "SELECT pg_sleep(1)")
    named = [(entry["code"], entry.get("permission", "")) for entry in logs if "code" in entry]
    assert named == [
        ("TABLE_NOT_ALLOWED", ""),
        ("PERMISSION_NOT_GRANTED", "data.delete"),
        ("STATEMENT_REFUSED", ""),
    ]
    assert "hidden" not in repr(logs)


FRAGMENTS = """
    SELECT INSERT INTO UPDATE DELETE FROM WHERE SET VALUES WITH RECURSIVE AS ( ) , . * $1 ; -- /* */ ' " a b.c 1 1.5 'x'
    = ANY ALL EXISTS JOIN LATERAL ON USING GROUP BY ORDER LIMIT RETURNING CASE WHEN THEN END ARRAY [ ] :: int ROW UNION
    now() count(*) OVER FILTER TRUNCATE MERGE COPY DO E'\\' $$ U&"\\0061" NULL IS NOT AND OR BETWEEN
""".split()  # noqa: SIM905


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(FRAGMENTS), max_size=40).map(" ".join)))
@example("\x00")
@example("SELECT \ud800")
def test_whatever_is_read_is_a_statement_or_refused(text: str) -> None:
    try:
        statement = read(text)
    except BrokerDenied as denied:
        assert denied.code in (DenialCode.INVALID_ARGUMENT, DenialCode.STATEMENT_REFUSED)  # noqa: PT017
    else:
        assert statement.permissions
        assert statement.permissions <= DATA


async def test_secrets_do_not_come_back(org) -> None:
    maker, _ = org
    broker = maker()
    url = broker.secrets.value("DATABASE_URL")
    [row] = await query(broker, "SELECT $1::text AS said", url)
    assert row == {"said": "[secret DATABASE_URL]"}
    password = make_url(url).password
    assert await query(broker, "SELECT reverse($1) AS said", password[::-1]) == [
        {"said": "[secret DATABASE_URL password]"}
    ]
    for said in (url, password):
        assert said not in (await refused(maker(), "SELECT $1::int AS said", said)).message
