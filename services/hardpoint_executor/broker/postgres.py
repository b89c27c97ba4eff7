"""One connection to an organisation's PostgreSQL: its address, how it is opened, and transactions on it.

libpq speaks the protocol over a socket of this machine; addresses, TLS and the number of bytes are ours (`relay.py`).
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import parse_qsl, unquote

import psycopg
from psycopg import generators, waiting
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from hardpoint_executor.broker.dial import GuardedDialler
from hardpoint_executor.broker.policy import parts_of, service_of
from hardpoint_executor.broker.relay import Relay

GREETING_BYTES: Final = 64 * 1024
_SSL_REQUEST: Final = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
_SOCKET: Final = ".s.PGSQL.5432"
_IGNORED: Final = frozenset({"application_name", "connect_timeout", "sslrootcert", "target_session_attrs"})
_DONE: Final = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK})
_UNVERIFIED: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_UNVERIFIED.check_hostname = False
_UNVERIFIED.verify_mode = ssl.CERT_NONE
_SAFE_AUTH: Final = "scram-sha-256,md5,none"
_ANY_AUTH: Final = "password," + _SAFE_AUTH
_SESSION: Final = (
    # The parser that reads statements knows strings as the standard has them.
    "SET LOCAL standard_conforming_strings = on; SET LOCAL DateStyle = 'ISO'; SET LOCAL IntervalStyle = 'iso_8601'; "
    "SET LOCAL TimeZone = 'UTC'; SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1; "
)


class NoTls(Exception):
    """The database does not speak TLS, and its URL wants it."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is and who logs in, read from `postgresql://user:password@host:port/name?sslmode=...`.

    `tls` is whether TLS is spoken, `verified` whether the server needs a certificate for its name.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str = ""
    tls: bool = True
    verified: bool = True

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a URL; raises ValueError saying what is wrong with it, without repeating it."""
        parts = parts_of(url)
        if parts.scheme not in ("postgres", "postgresql"):
            raise ValueError("it does not begin with postgresql://")
        if not parts.hostname or not parts.username:
            raise ValueError("it names no host or no user: postgresql://user:password@host/database")
        options = dict(parse_qsl(parts.query))
        mode, binding = options.pop("sslmode", "verify-full"), options.pop("channel_binding", "")
        if mode not in ("disable", "require", "verify-ca", "verify-full"):
            raise ValueError("its sslmode is none of disable, require, verify-full")
        if options.keys() - _IGNORED:  # unnamed: what a password holds may have ended up here
            known = ", ".join(sorted({"sslmode", "channel_binding"} | _IGNORED))
            raise ValueError(f"it has an option that is none of {known}; in a user or a password write ? as %3F")
        target = service_of(parts, 5432)
        user, password = unquote(parts.username), unquote(parts.password or "")
        # Bound to the channel means that nobody is in the middle; a certificate for the host says that too.
        verified = mode in ("verify-ca", "verify-full") or binding == "require"
        database = unquote(parts.path.removeprefix("/")) or user
        return cls(target.host, target.port, user, password, database, mode != "disable", verified)


class Session:
    """An open connection, for one transaction after the other."""

    def __init__(self, connection: psycopg.AsyncConnection, relay: Relay) -> None:
        self._connection = connection
        self.relay = relay

    @classmethod
    async def open(cls, address: Address, dialler: GuardedDialler, tls: ssl.SSLContext) -> Self:
        """Connect and log in; raises BrokerDenied, NoTls, OSError, psycopg.Error for a login that is refused.

        `tls` says which certificates are trusted, where one is wanted.
        """
        plain = dialler.is_alias(address.host) or not address.tls
        reader, writer = await dialler.connect(address.host, address.port)
        try:
            if not plain:
                await _start_tls(reader, writer, address.host, tls if address.verified else _UNVERIFIED)
            relay = Relay((reader, writer))
            relay.allow(GREETING_BYTES)
        except BaseException:
            writer.transport.abort()
            raise
        try:
            async with relay.socket(_SOCKET) as folder:
                connection = await psycopg.AsyncConnection.connect(
                    host=folder,
                    port=5432,
                    user=address.user,
                    # Never empty, which would let libpq look for one of the operator's.
                    password=address.password or "none",
                    dbname=address.database,
                    sslmode="disable",
                    gssencmode="disable",
                    channel_binding="disable",
                    # Nobody but who has the certificate may ask for the password itself.
                    require_auth=_ANY_AUTH if not plain and address.verified else _SAFE_AUTH,
                    application_name="hardpoint",
                    client_encoding="utf8",
                    autocommit=True,
                )
        except BaseException as error:
            relay.close()
            if isinstance(error, psycopg.Error) and not relay.received:
                raise ConnectionResetError from error  # nobody refused anything: it was not there
            raise
        return cls(connection, relay)

    @asynccontextmanager
    async def transaction(self, *, reads: bool, seconds: float, most_bytes: int) -> AsyncIterator[None]:
        """Open a transaction that commits unless the block raises; a statement in it ends within `seconds`."""
        self.relay.allow(most_bytes + GREETING_BYTES)
        mode = "READ ONLY" if reads else "READ WRITE"
        timeout = f"SET LOCAL statement_timeout = {max(1, int(seconds * 1000))}"
        await self.simple(f"BEGIN ISOLATION LEVEL READ COMMITTED {mode}; {_SESSION}{timeout}")
        try:
            yield
        except Exception:
            if self.is_open:
                await self.simple("ROLLBACK")
            raise
        await self.simple("COMMIT")

    async def simple(self, sql: str) -> list[PGresult]:
        """Run statements of our own; raises psycopg.Error."""
        self._connection.pgconn.send_query(sql.encode())
        return await self._results()

    async def run(self, sql: str, values: Sequence[bytes | None]) -> PGresult:
        """Run one statement with its values, by the extended protocol, which knows no second one."""
        self._connection.pgconn.send_query_params(sql.encode(), values)
        return (await self._results())[-1]

    async def parameter_types(self, sql: str) -> list[int]:
        """The type of each parameter of a statement, by its number in the catalogue."""
        self._connection.pgconn.send_prepare(b"", sql.encode())
        await self._results()
        self._connection.pgconn.send_describe_prepared(b"")
        described = (await self._results())[-1]
        return [described.param_type(index) for index in range(described.nparams)]

    @property
    def is_open(self) -> bool:
        """Whether it can carry another transaction."""
        return self.relay.is_open and self._connection.pgconn.status == psycopg.pq.ConnStatus.OK

    @property
    def is_idle(self) -> bool:
        """Whether it is open and between transactions."""
        return self.is_open and self._connection.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE

    def close(self) -> None:
        """End it at once, whatever runs on it."""
        self.relay.close()
        self._connection.pgconn.finish()

    async def _results(self) -> list[PGresult]:
        # Not the connection's own wait: when it is cancelled it waits for a server that may never answer.
        pgconn = self._connection.pgconn
        results: list[PGresult] = await waiting.wait_async(generators.execute(pgconn), pgconn.socket)
        for result in results:
            if result.status not in _DONE:
                raise error_from_result(result, encoding="utf-8")
        return results


async def _start_tls(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, tls: ssl.SSLContext
) -> None:
    """Ask for TLS as PostgreSQL does, raises NoTls; what comes with the answer came from somebody in between."""
    writer.write(_SSL_REQUEST)
    if await reader.read(16) != b"S":
        raise NoTls
    await writer.start_tls(tls, server_hostname=host)
