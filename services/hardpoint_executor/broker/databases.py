"""Owns the open connections to organisations' databases: few at once for one capability of one organisation, kept for
the next call for a short while, never shared more widely.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import psycopg

from hardpoint_executor.broker.dial import GuardedDialler
from hardpoint_executor.broker.http import Owner
from hardpoint_executor.broker.postgres import GREETING_BYTES, Address, Session
from hardpoint_executor.limits import seconds, whole

MOST_AT_ONCE: Final = whole("database_connections.at_once")
"""Of one capability and one database; others wait for one of them."""
MOST_KEPT: Final = whole("database_connections.kept")
MOST_KEPT_OF_ALL: Final = whole("database_connections.kept_of_all")
KEPT_SECONDS: Final = seconds("database_connections.kept_seconds")

_RECORDS = """
    SELECT count(*) = 3 FROM pg_class, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) AS wanted
    WHERE pg_class.oid = to_regclass('hardpoint_effects') AND relkind IN ('r', 'p')
        AND has_table_privilege(pg_class.oid, wanted)
"""
_CREATE = """
    CREATE TABLE IF NOT EXISTS hardpoint_effects (
        capability text NOT NULL, effect text NOT NULL, answer text,
        done_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (capability, effect)
    )
"""


@dataclass(slots=True)
class Pool:
    """The connections of one capability of one organisation to one database."""

    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_AT_ONCE))
    kept: dict[Session, asyncio.TimerHandle] = field(default_factory=dict)
    users: int = 0
    records: bool = False
    """Whether effects can be recorded there, as far as it is known."""


class Databases:
    """Lends connections. Waiting for one has no deadline here: the call has one."""

    def __init__(self, dialler: GuardedDialler, tls: ssl.SSLContext) -> None:
        self._dialler = dialler
        self._tls = tls
        self._pools: dict[tuple[Owner, Address], Pool] = {}

    async def check(self, address: Address) -> None:
        """Refuse what `session` would not dial, without dialling it; raises BrokerDenied."""
        await self._dialler.check(address.host, address.port)

    @asynccontextmanager
    async def session(self, owner: Owner, address: Address) -> AsyncIterator[tuple[Session, Pool]]:
        """A connection that nobody else uses; raises as `Session.open`. It is kept when it comes back idle."""
        key = (owner, address)
        pool = self._pools.setdefault(key, Pool())
        pool.users += 1
        try:
            async with pool.room:
                session = await _taken(pool) or await Session.open(address, self._dialler, self._tls)
                try:
                    yield session, pool
                finally:
                    self._give_back(pool, session)
        finally:
            pool.users -= 1
            self._forget_unused()

    def close(self) -> None:
        """Close those that are kept."""
        for pool in self._pools.values():
            for session in list(pool.kept):
                _drop(pool, session)
        self._forget_unused()

    def _give_back(self, pool: Pool, session: Session) -> None:
        if not session.is_idle or len(pool.kept) >= MOST_KEPT:
            session.close()
            return
        pool.kept[session] = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._expire, pool, session)
        kept = [(other.when(), owner, idle) for owner in self._pools.values() for idle, other in owner.kept.items()]
        if len(kept) > MOST_KEPT_OF_ALL:
            _, owner, idle = min(kept, key=lambda one: one[0])
            _drop(owner, idle)

    def _expire(self, pool: Pool, session: Session) -> None:
        _drop(pool, session)
        self._forget_unused()

    def _forget_unused(self) -> None:
        self._pools = {key: pool for key, pool in self._pools.items() if pool.users or pool.kept}


async def can_record(session: Session, pool: Pool) -> bool:
    """Whether effects can be recorded in this database, in a table that is made where that is allowed."""
    if not pool.records:
        session.relay.allow(GREETING_BYTES)
        found = await _has_table(session)
        if not found:
            try:
                await session.simple(_CREATE)
            except psycopg.Error:
                if not session.is_idle:
                    raise
            found = await _has_table(session)
        pool.records = found
    return pool.records


async def _has_table(session: Session) -> bool:
    [result] = await session.simple(_RECORDS)
    return result.get_value(0, 0) == b"t"


async def _taken(pool: Pool) -> Session | None:
    """The one that was used last and that the server still answers on."""
    while pool.kept:
        session, timer = pool.kept.popitem()
        timer.cancel()
        try:
            session.relay.allow(GREETING_BYTES)
            await session.simple("SELECT 1")
            return session
        except psycopg.Error:
            session.close()
        except BaseException:
            session.close()
            raise
    return None


def _drop(pool: Pool, session: Session) -> None:
    pool.kept.pop(session).cancel()
    session.close()
