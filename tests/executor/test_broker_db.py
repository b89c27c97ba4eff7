"""The service `db` on a real PostgreSQL: what goes in, what comes back, and what never gets out."""

import asyncio
import json
from typing import Any

import psycopg
import pytest
import structlog
from sqlalchemy import make_url

from executor.databases import Org, denial, query, refused
from hardpoint_executor.broker.broker import Broker
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.limits import BrokerLimits
from hardpoint_executor.writes import Ledger, Writes


async def test_rows_come_back_by_name(org) -> None:
    maker, _ = org
    broker = maker(frozenset({"data.read"}))
    rows = await query(broker, "SELECT name, status FROM customers WHERE status = $1 ORDER BY name LIMIT 100", "open")
    assert rows == [{"name": "Ada", "status": "open"}, {"name": "Eve", "status": "open"}]
    assert (broker.usage.calls, broker.usage.permissions) == (1, {"data.read"})
    assert broker.usage.bytes_sent > 0
    assert broker.usage.bytes_received > 0


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


async def test_rows_that_fit_a_condition_are_changed_and_deleted(org) -> None:
    maker, look = org

    async def update(values: dict[str, Any], **where: Any) -> Any:
        given = {"table": "customers", "values": values, "where": where}
        return await maker(frozenset({"data.write"})).ask("db", "update", given)

    told = {"status": "it's", "tags": ["a", None], "about": "text", "total": 1.5}
    assert await update(told, name="Ada") == {"rows": 1}
    assert await query(maker(), "SELECT status, tags, about, total FROM customers WHERE name = 'Ada'") == [told]
    assert await update({"joined": "2026-03-01"}, about="text", tags=["a", None], total=1.5) == {"rows": 1}
    assert await update({"total": None}, joined=None, status="shut") == {"rows": 1}
    assert await update({"total": 2}, joined=None) == {"rows": 2}
    assert await update({"total": 3}, name="' OR true --") == {"rows": 0}
    assert await update({"total": 3}, name=None) == {"rows": 0}

    gone = {"table": "customers", "where": {"status": "shut", "total": 2}}
    assert (await denial(maker(frozenset({"data.write"})), "delete", gone)).facts["permission"] == "data.delete"
    assert await maker(frozenset({"data.delete"})).ask("db", "delete", gone) == {"rows": 1}
    await maker().ask("db", "insert", {"table": "sales.orders", "rows": [{"id": 1}, {"id": None}]})
    assert await maker().ask("db", "delete", {"table": "sales.orders", "where": {"id": None}}) == {"rows": 1}
    assert await (await look.execute("SELECT id FROM sales.orders")).fetchall() == [(1,)]
    assert await (await look.execute("SELECT name FROM customers ORDER BY id")).fetchall() == [("Ada",), ("Eve",)]


@pytest.mark.parametrize(
    "column",
    ["nope", "customers", "pg_typeof", "to_jsonb", "ctid", "tableoid", "given", 'name" IS NOT NULL OR "name', "*"],
)
async def test_a_condition_is_of_columns_alone(org, column: str) -> None:
    maker, look = org
    for null in (1, None):
        where = {"table": "customers", "where": {column: null}}
        found = [await outcome(maker(), "delete", where)]
        found.append(await outcome(maker(), "update", {**where, "values": {"status": "x"}}))
        assert all(one in (DenialCode.STATEMENT_FAILED, {"rows": 0}) for one in found), found
    assert await outcome(maker(), "update", {"table": "customers", "values": {column: 1}, "where": {"id": 1}}) == (
        DenialCode.STATEMENT_FAILED
    )
    counted = "SELECT count(*) FROM customers WHERE status <> 'x'"
    assert await (await look.execute(counted)).fetchone() == (3,)


async def outcome(broker: Broker, method: str, arguments: dict[str, Any]) -> Any:
    try:
        return await broker.ask("db", method, arguments)
    except BrokerDenied as denied:
        return denied.code


@pytest.mark.parametrize(
    "arguments",
    [{}, {"where": {}}, {"where": []}, {"where": "true"}, {"where": {"": 1}}, {"where": {"id": 1}, "table": "a.b.c"}],
)
async def test_conditions_that_are_none(org, arguments: dict[str, Any]) -> None:
    maker, _ = org
    given = {"table": "customers", "values": {"status": "x"}, **arguments}
    for method in ("update", "delete"):
        assert (await denial(maker(), method, given)).code == DenialCode.INVALID_ARGUMENT
    nothing = {"table": "customers", "values": {}, "where": {"id": 1}}
    assert (await denial(maker(), "update", nothing)).code == DenialCode.INVALID_ARGUMENT


async def test_more_rows_than_may_be_touched_are_none(org) -> None:
    maker, look = org
    for method in ("update", "delete"):
        given = {"table": "customers", "values": {"total": 1}, "where": {"status": "open"}}
        denied = await denial(maker(limits=BrokerLimits(rows=1), idempotency_key="k"), method, given)
        assert (denied.code, denied.facts["limit"]) == (DenialCode.TOO_MANY_ROWS, "1 rows")
        assert (await denial(maker(), method, {**given, "table": "salaries"})).code == DenialCode.TABLE_NOT_ALLOWED
    assert await (await look.execute("SELECT count(*), sum(total) FROM customers")).fetchone() == (3, None)
    assert await (await look.execute("SELECT count(*) FROM hardpoint_effects")).fetchone() == (0,)
    assert await maker(limits=BrokerLimits(rows=2)).ask("db", "delete", given) == {"rows": 2}


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
    ours = "application_name = 'hardpoint' AND datname = current_database()"
    running = f"SELECT 1 FROM pg_stat_activity WHERE {ours} AND state = 'active'"
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
    assert denied.message.startswith("the database refused the statement (23505): duplicate key")
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
        ("postgresql://u@corp:canary-pw/x@db.example.com/x", DenialCode.SETTING_INVALID),
        ("postgresql://u:canary-pw\uff1ax@db.example.com/x", DenialCode.SETTING_INVALID),
        ("postgresql://u:canary-pw@db.example.com/x?sslmode=prefer", DenialCode.SETTING_INVALID),
        ("postgresql://u:canary-pw@db.example.com/x?host=10.0.0.1", DenialCode.SETTING_INVALID),
        ("postgresql://u:canary-pw@db.example.com/x?options=-crole%3Dx", DenialCode.SETTING_INVALID),
        ("postgresql://u@corp.com:1?canary-pw=x@db.example.com/x", DenialCode.SETTING_INVALID),
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


@pytest.mark.parametrize(
    ("method", "rows", "done"),
    [
        ("insert", {"rows": {"name": "Kim", "status": "x"}}, 1),
        ("update", {"values": {"status": "x", "total": 1}, "where": {"name": "Ada", "status": "open"}}, 1),
        ("delete", {"where": {"name": "Ada", "status": "open"}}, 1),
    ],
)
async def test_another_order_of_columns_is_the_same_effect(org, method: str, rows: dict[str, Any], done: int) -> None:
    """Another process reads the columns of an input in another order."""
    maker, _ = org
    turned = {name: dict(reversed(part.items())) for name, part in rows.items()}
    ledger = Ledger(dry_run=True)
    for given in (rows, turned):
        arguments = {"table": "customers", **given}
        assert await maker(writes=Writes(ledger)).ask("db", method, arguments) == {"rows": done}
        assert await maker(idempotency_key="k").ask("db", method, arguments) == {"rows": done}
    first, second = ledger.planned
    assert first.digest == second.digest


async def test_two_first_attempts_at_once_do_it_once(org) -> None:
    maker, look = org
    sql = {"sql": "INSERT INTO sales.orders VALUES ($1)", "params": [1]}
    brokers = [maker(idempotency_key="k") for _ in range(4)]
    answers = await asyncio.gather(*(broker.ask("db", "execute", sql) for broker in brokers))
    assert answers == [{"rows": 1}] * 4
    assert await (await look.execute("SELECT id FROM sales.orders")).fetchall() == [(1,)]


async def test_a_write_that_is_to_be_made_once_is_refused_where_no_note_of_it_can_be_made(org) -> None:
    maker, look = org
    await look.execute("CREATE TYPE hardpoint_effects AS (a int)")  # a table of that name cannot be made
    insert = {"sql": "INSERT INTO sales.orders VALUES (1)"}
    once = maker(idempotency_key="k")
    refused = await denial(once, "execute", insert)
    assert (refused.code, refused.facts["table"]) == (DenialCode.EFFECTS_TABLE_MISSING, "hardpoint_effects")
    assert not once.usage.wrote
    assert await maker().ask("db", "execute", insert) == {"rows": 1}  # without a key
    await look.execute("DROP TYPE hardpoint_effects")
    assert await once.ask("db", "execute", insert) == {"rows": 1}
    assert await maker(idempotency_key="k").ask("db", "execute", insert) == {"rows": 1}
    assert await (await look.execute("SELECT count(*) FROM sales.orders")).fetchone() == (2,)


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


async def test_a_dry_run_reads_and_plans_its_writes_and_a_plan_is_kept_to(
    org: tuple[Org, psycopg.AsyncConnection],
) -> None:
    maker, look = org
    rows = [{"name": "Cy"}, {"name": "Dee"}]

    async def work(broker: Broker, gone: str) -> list[Any]:
        found = await query(broker, "SELECT name FROM customers WHERE status = $1 ORDER BY id", "open")
        return [
            [row["name"] for row in found],
            await broker.ask("db", "insert", {"table": "customers", "rows": rows}),
            await broker.ask("db", "execute", {"sql": "DELETE FROM customers WHERE name = $1", "params": [gone]}),
            await query(broker, "UPDATE customers SET status = 'done' RETURNING id"),
            await broker.ask("db", "update", {"table": "customers", "values": {"total": 1}, "where": {"name": "Cy"}}),
        ]

    ledger = Ledger(dry_run=True)
    dry = maker(writes=Writes(ledger))
    assert await work(dry, "Bob") == [["Ada", "Eve"], {"rows": 2}, {"rows": 1}, [], {"rows": 1}]
    assert dry.usage.permissions == {"data.read"}
    assert [f"{effect.operation} {effect.target}" for effect in ledger.planned] == [
        "INSERT DATABASE_URL: customers",
        "DELETE DATABASE_URL: customers",
        "UPDATE DATABASE_URL: customers",
        "UPDATE DATABASE_URL: customers",
    ]
    assert ledger.planned[0].arguments["params"]["text"] == json.dumps([json.dumps(rows)])
    assert ledger.planned[1].arguments["params"]["text"] == '["Bob"]'
    assert json.loads(ledger.planned[3].arguments["params"]["text"]) == ['{"total": 1}', '{"name": "Cy"}']
    count = "SELECT string_agg(name, ' ' ORDER BY id) FROM customers"
    assert await (await look.execute(count)).fetchone() == ("Ada Bob Eve",)

    refused_too = await denial(maker(writes=Writes(ledger)), "execute", {"sql": "DELETE FROM salaries"})
    assert refused_too.code == DenialCode.TABLE_NOT_ALLOWED

    kept_to = Writes(Ledger(dry_run=False, expected=ledger.planned))
    with pytest.raises(BrokerDenied) as stopped:
        await work(maker(writes=kept_to), "Eve")
    assert stopped.value.code == "EFFECT_NOT_PLANNED"
    assert await (await look.execute(count)).fetchone() == ("Ada Bob Eve Cy Dee",)
