"""Statements on a real PostgreSQL: what each may do, and what none may, however it is written."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from executor.databases import DATA, denial, query, refused
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.sql import read


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
        "SELECT f.pg_read_file FROM unnest(ARRAY['/etc/passwd']) f, (SELECT 1 FROM unnest(ARRAY[1]) f(pg_read_file)) x",
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
        'SELECT (jsonb_populate_record(NULL::customers, \'{"name": "x"}\')).name AS a',
        'SELECT r.name AS a FROM jsonb_populate_recordset(NULL::customers, \'[{"name": "x"}]\') AS r',
        'SELECT r.a FROM jsonb_to_recordset(\'[{"a": "x"}]\') AS r(a text)',
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
