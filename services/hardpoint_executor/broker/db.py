"""The service `db`: statements of SQL on the organisation's PostgreSQL, each under its own permission.

A statement is read with PostgreSQL's grammar before anything is sent (`sql.py`), or is the broker's own
(`statements.py`). It runs alone in a transaction, which is READ ONLY when only `data.read` is needed, with its values
apart from it. Where the execution has an idempotency key, a write is recorded in the same transaction
(`hardpoint_effects`), so that a second attempt does nothing and has the first answer.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
from opentelemetry import trace
from psycopg.pq.abc import PGresult

from hardpoint_executor.broker import sql, statements
from hardpoint_executor.broker.databases import Databases, Pool, can_record
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode, Quoting
from hardpoint_executor.broker.dial import unnamed
from hardpoint_executor.broker.means import Means, invalid, no_method, text_of
from hardpoint_executor.broker.postgres import Address, NoTls, Session
from hardpoint_executor.broker.rows import parameter, rows_of
from hardpoint_executor.broker.scrub import Unfit

URL = "DATABASE_URL"
TABLES = "DATABASE_TABLES"

_CLAIM = "INSERT INTO hardpoint_effects (capability, effect) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_FIRST = "SELECT answer FROM hardpoint_effects WHERE capability = $1 AND effect = $2"
_DONE = "UPDATE hardpoint_effects SET answer = $3 WHERE capability = $1 AND effect = $2"

Shape = Callable[[PGresult], Any]


class Database:
    """The service `db` of one execution."""

    def __init__(self, means: Means, databases: Databases) -> None:
        self._means = means
        self._databases = databases
        self._written: dict[str, int] = {}

    async def ask(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """Answer with a JSON value; raises BrokerDenied."""
        connection = text_of(arguments, "connection", URL)
        match method:
            case "query" | "execute":
                text = text_of(arguments, "sql")
                params = arguments.get("params", [])
                if not isinstance(params, list):
                    raise invalid("params is not a list", "pass the values of $1, $2 ... as a list")
                statement = sql.read(text)
                if method == "execute" and statement.kind == "SELECT":
                    raise invalid("execute gives no rows, and SELECT does nothing else", "use query")
                if method == "query":
                    return await self._run(connection, statement, text, params, self._rows, [])
                return await self._run(connection, statement, text, params, _count, {"rows": 1})
            case "insert":
                made, count = statements.insert(text_of(arguments, "table"), arguments.get("rows"))
                return await self._run(connection, made.statement, made.text, made.params, _count, {"rows": count})
            case "update" | "delete":
                table, where = text_of(arguments, "table"), arguments.get("where")
                if method == "update":
                    made = statements.update(table, arguments.get("values"), where)
                else:
                    made = statements.delete(table, where)
                return await self._run(connection, made.statement, made.text, made.params, self._few, {"rows": 1})
            case _:
                raise no_method("db", method, "query, execute, insert, update or delete")

    async def _admitted(
        self, key: str, address: Address, statement: sql.Statement, text: str, params: list[Any]
    ) -> bool:
        """Whether a write is to be made that nothing here speaks against; raises BrokerDenied."""
        effects = self._means.effects
        if not effects.watching:
            return True
        if effects.dry_run:
            with self._denials(key):
                await self._databases.check(address)
        target = f"{key}: {', '.join(sorted(statement.tables))}"
        arguments = {"sql": effects.body(text), "params": effects.body(json.dumps(params))}
        return await effects.admit("db", statement.kind, target, arguments)

    async def _run(
        self, key: str, statement: sql.Statement, text: str, params: list[Any], shape: Shape, instead: Any
    ) -> Any:
        """Run a statement; `instead` is the answer to a write that is only planned."""
        means = self._means
        for permission in sorted(statement.permissions):
            means.permit(permission, statement.kind)
        self._check_tables(statement)
        means.spend_call()
        asked = {"connection": key, "sql": text, "params": params}
        done = partial(self._done, key, statement, text, params, shape, instead)
        return await means.outside("db", statement.kind, asked, done)

    async def _done(
        self, key: str, statement: sql.Statement, text: str, params: list[Any], shape: Shape, instead: Any
    ) -> Any:
        means = self._means
        address = self._address(key)
        if not statement.only_reads and not await self._admitted(key, address, statement, text, params):
            return instead
        means.usage.permissions.update(statement.permissions)
        span = trace.get_current_span()
        span.set_attributes({"db.system.name": "postgresql", "db.operation.name": statement.kind})
        again = "look before you repeat it: it may have been done" if not statement.only_reads else "ask for less"
        async with means.within(means.limits.call_seconds, f"the database of {key}", again) as seconds:
            with self._denials(key) as met:
                async with self._databases.session(means.owner, address) as (session, pool):
                    met.append(session)
                    before = session.relay.sent, session.relay.received
                    try:
                        answer = await self._transact(session, pool, statement, text, params, shape, seconds)
                    finally:
                        means.usage.bytes_sent += session.relay.sent - before[0]
                        means.usage.bytes_received += session.relay.received - before[1]
        return await self._scrubbed(answer, key)

    async def _transact(
        self,
        session: Session,
        pool: Pool,
        statement: sql.Statement,
        text: str,
        params: list[Any],
        shape: Shape,
        seconds: float,
    ) -> Any:
        effect = "" if statement.only_reads else await self._effect(session, pool, text)
        who = [self._means.owner.capability.encode(), effect.encode()]
        most = self._means.limits.response_bytes
        async with session.transaction(reads=statement.only_reads, seconds=seconds, most_bytes=most):
            if not statement.only_reads:
                self._means.usage.begin_write()
            if effect and (await session.run(_CLAIM, who)).command_tuples == 0:
                first = (await session.run(_FIRST, who)).get_value(0, 0)
                return json.loads(first or b"null")
            result = await session.run(text, await _values(session, text, params))
            answer = shape(result)
            if effect:
                await session.run(_DONE, [*who, json.dumps(answer).encode()])
            return answer

    async def _effect(self, session: Session, pool: Pool, text: str) -> str:
        """The name of this write among those of all attempts, or nothing without a key; raises BrokerDenied.

        Without the note another attempt, after an executor was lost, would make the write again.
        """
        key = self._means.idempotency_key
        if not key:
            return ""
        digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]
        number = self._written[digest] = self._written.get(digest, 0) + 1
        if await can_record(session, pool):
            return f"{key}/{digest}/{number}"
        self._written[digest] -= 1
        raise BrokerDenied(
            DenialCode.EFFECTS_TABLE_MISSING,
            f"the database has no table {sql.OWN_TABLE} to note that this write is done, and the role may not make it",
            f"have the database's owner make {sql.OWN_TABLE}, as docs/services.md says under Once",
            table=sql.OWN_TABLE,
        )

    def _check_tables(self, statement: sql.Statement) -> None:
        setting = self._means.settings.get(TABLES)
        is_allowed = sql.allowed_tables(setting if isinstance(setting, str) else "")
        for table in sorted(statement.tables):
            if not is_allowed(table):
                shown = table[:130]
                raise BrokerDenied(
                    DenialCode.TABLE_NOT_ALLOWED,
                    f"the table {shown} is not one that {TABLES} allows",
                    f"add {shown} to the setting {TABLES}, a list such as customers, sales.orders",
                    table=shown,
                    setting=TABLES,
                )

    def _address(self, key: str) -> Address:
        url = self._means.secret(key, "the database")
        try:
            return Address.parse(url)
        except ValueError as error:
            raise BrokerDenied(
                DenialCode.SETTING_INVALID,
                f"{key} is not the URL of a PostgreSQL database: {error}",
                f"set {key} to postgresql://user:password@host:5432/database",
                setting=key,
            ) from None

    def _rows(self, result: PGresult) -> list[dict[str, Any]]:
        most = self._means.limits.rows
        if result.ntuples > most:
            raise BrokerDenied(
                DenialCode.RESPONSE_TOO_LARGE,
                f"the answer has more than {most} rows",
                "add LIMIT",
                limit=f"{most} rows",
            )
        try:
            return rows_of(result)
        except ValueError as error:
            raise invalid(f"two columns are called {str(error)[:60]}", "name them apart with AS") from None

    def _few(self, result: PGresult) -> dict[str, int]:
        """How many rows were changed; more than may be are refused, which ends the transaction without them."""
        most, changed = self._means.limits.rows, _count(result)
        if changed["rows"] > most:
            raise BrokerDenied(
                DenialCode.TOO_MANY_ROWS,
                f"more than {most} rows fit, and none was changed",
                "name more columns in where",
                limit=f"{most} rows",
            )
        return changed

    async def _scrubbed(self, answer: Any, key: str) -> Any:
        try:
            return await self._means.outlet.value(answer)
        except Unfit as unfit:
            raise BrokerDenied(
                DenialCode.ANSWER_HOLDS_SECRET,
                f"the answer of the database of {key} holds the secret {unfit.key} in an encoding, and is withheld",
                "select what does not hold it",
                secret=unfit.key,
            ) from None

    @contextmanager
    def _denials(self, key: str) -> Iterator[list[Session]]:
        """What goes wrong, as denials that name no host; PostgreSQL's own words are scrubbed and kept out of logs."""
        met: list[Session] = []
        most = self._means.limits.response_bytes
        try:
            yield met
        except BrokerDenied as denied:
            if denied.code not in (DenialCode.UPSTREAM_UNREACHABLE, DenialCode.ADDRESS_NOT_PUBLIC) or met:
                raise
            raise unnamed(denied, "the database", key) from None
        except NoTls:
            raise BrokerDenied(
                DenialCode.UPSTREAM_UNREACHABLE,
                f"the database of {key} does not speak TLS",
                f"turn TLS on at the database, or write sslmode=disable in {key} to send everything in the clear",
                setting=key,
            ) from None
        except (psycopg.Error, OSError) as error:
            if met and met[0].relay.overrun:
                raise BrokerDenied(
                    DenialCode.RESPONSE_TOO_LARGE,
                    f"the answer is larger than {most} bytes",
                    "ask for fewer rows or columns",
                    limit=f"{most} bytes",
                ) from None
            raise self._failed(key, error, logged_in=bool(met)) from None

    def _failed(self, key: str, error: Exception, *, logged_in: bool) -> BrokerDenied:
        state = getattr(error, "sqlstate", None)
        if state == "57014":
            return BrokerDenied(
                DenialCode.UPSTREAM_TIMEOUT,
                f"the database of {key} gave up: the statement takes too long",
                "ask for less",
            )
        if state is None and (logged_in or isinstance(error, OSError)):
            return BrokerDenied(
                DenialCode.UPSTREAM_UNREACHABLE,
                f"the connection to the database of {key} was lost, or has no certificate that can be trusted",
                "look before you repeat a write: it may have been done",
                setting=key,
            )
        if not logged_in:
            return BrokerDenied(
                DenialCode.LOGIN_REFUSED,
                f"the database of {key} refused the login",
                f"look at user, password and database in {key}, and at how many may connect",
                setting=key,
            )
        diagnosis = getattr(error, "diag", None)
        said = self._means.outlet.said(str((diagnosis and diagnosis.message_primary) or ""))
        named = self._means.outlet.said(str((diagnosis and diagnosis.constraint_name) or ""))[: statements.MOST_NAME]
        facts = {"sqlstate": state or "", **({"constraint": named} if named else {})}
        message = f"the database refused the statement ({state}): {said}"
        return Quoting(DenialCode.STATEMENT_FAILED, message, "correct it", **facts)


async def _values(session: Session, text: str, params: list[Any]) -> list[bytes | None]:
    types = [0] * len(params)
    if any(isinstance(value, list) for value in params):
        types = await session.parameter_types(text)
    try:
        return [parameter(value, known) for value, known in zip(params, types, strict=True)]
    except ValueError:
        raise invalid(
            "the values do not fit the statement", "pass one value for each of $1, $2 ..., without NUL characters"
        ) from None


def _count(result: PGresult) -> dict[str, int]:
    return {"rows": result.command_tuples or 0}
