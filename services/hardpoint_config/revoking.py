"""Owns that deleted tokens are given back at their provider (RFC 7009): afterwards, a few times, awaited by nobody."""

import asyncio
from datetime import datetime, timedelta
from typing import Final

from hardpoint_config.connection import Client, Provider
from hardpoint_config.domain import SecretValue
from hardpoint_config.oauth import Providers
from hardpoint_config.revocation_rows import Revocation
from hardpoint_config.sealing import Sealing
from hardpoint_config.store import Store
from hardpoint_kit.audit import record
from hardpoint_kit.background import Looks
from hardpoint_kit.caller import ANY_ORG, SYSTEM
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import Conflict, HardpointError

REST_SECONDS = 5.0
"""Between two looks: nobody waits for it."""
AT_ONCE = 8
MOST_ATTEMPTS: Final = 5
FIRST_PAUSE: Final = timedelta(seconds=15)
PAUSE_FACTOR: Final = 8
"""Five attempts over some two and a half hours."""


class Revoking:
    """Gives back what is due, in one process or another."""

    def __init__(self, store: Store, sealing: Sealing, providers: Providers, clock: Clock) -> None:
        self._store = store
        self._sealing = sealing
        self._providers = providers
        self._clock = clock
        self._looks = Looks(self.look, REST_SECONDS, "revocations")

    async def start(self) -> None:
        """Look every few seconds from now on."""
        self._looks.start()

    async def stop(self) -> None:
        """Stop; what is under way is tried again by whoever comes next."""
        await self._looks.stop()

    async def look(self) -> bool:
        """Try what is due now; whether there may be more."""
        now = self._clock.now()
        async with self._store.transaction(ANY_ORG) as tx:
            due = await tx.revocations.take(now, now + FIRST_PAUSE, AT_ONCE)
        await asyncio.gather(*(self._revoke(revocation, now) for revocation in due))
        return len(due) == AT_ONCE

    async def _revoke(self, revocation: Revocation, now: datetime) -> None:
        connection = revocation.connection
        try:
            kept = self._sealing.open(connection, revocation.tokens)
            secret = self._sealing.open(revocation.client, revocation.client_secret).client_secret
            client = Client(connection.client_id, secret)
            # The one that gives others goes first; who does not take it back may still take the other.
            tokens = filter(None, (kept.refresh, kept.access))
            refusals = [await self._refusal(connection.provider, client, token) for token in tokens]
            said = next(filter(None, refusals), "")
        except HardpointError as error:
            said = error.reason
            if revocation.attempts < MOST_ATTEMPTS:
                pause = FIRST_PAUSE * PAUSE_FACTOR ** (revocation.attempts - 1)
                async with self._store.transaction(connection.name.org) as tx:
                    await tx.revocations.put_off(revocation.number, now + pause)
                return
        await self._settle(revocation, said)

    async def _refusal(self, provider: Provider, client: Client, token: SecretValue) -> str:
        """Why a provider does not take a token back, nothing when it does; one that is worth nothing any more is back.

        Many take the access token back with the refresh token, and some of them then call it invalid.
        """
        try:
            await self._providers.revoke(provider, client, token)
        except Conflict as refused:
            said = refused.metadata.get("said", refused.reason)
            return "" if said == "invalid_token" else said
        return ""

    async def _settle(self, revocation: Revocation, error: str) -> None:
        """Forget the tokens and say in the audit log what came of it."""
        connection = revocation.connection
        facts = {"host": connection.provider.host, **({"user": connection.owner} if connection.owner else {})}
        action = "connection.not_revoked" if error else "connection.revoke"
        facts |= {"error": error} if error else {}
        async with self._store.transaction(connection.name.org) as tx:
            await tx.revocations.done(revocation.number)
            await record(tx.connection, SYSTEM(connection.name.org), action, connection.name, **facts)
