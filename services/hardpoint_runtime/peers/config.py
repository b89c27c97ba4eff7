"""The runtime's view of config: settings, secrets and connections, as keys and leases."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import UTC
from typing import Any, Protocol

import grpc.aio

from hardpoint.config.v1 import config_pb2, config_pb2_grpc
from hardpoint_kit.documents import from_struct
from hardpoint_kit.names import ConnectionName, SettingsName
from hardpoint_runtime.domain.deliveries import Proof
from hardpoint_runtime.domain.executions import Ticket
from hardpoint_runtime.domain.releases import OAuth2, Verifier

VERIFY_SECONDS = 2.0
"""Slack waits three seconds for an answer."""
DELETE_SECONDS = 3.0
"""A row is locked meanwhile."""

_VERDICTS = {
    config_pb2.SIGNATURE_VERDICT_VALID: "",
    config_pb2.SIGNATURE_VERDICT_MISSING: "SIGNATURE_MISSING",
    config_pb2.SIGNATURE_VERDICT_WRONG: "SIGNATURE_WRONG",
    config_pb2.SIGNATURE_VERDICT_TOO_OLD: "SIGNATURE_TOO_OLD",
    config_pb2.SIGNATURE_VERDICT_NO_SECRET: "SIGNING_SECRET_MISSING",
}


class Config(Protocol):
    """Where settings and secrets are kept; the runtime sees keys and leases, never a value."""

    async def configured(self, settings: SettingsName) -> frozenset[str]:
        """The keys that have a value or a secret."""

    async def values(self, settings: SettingsName) -> Mapping[str, Any]:
        """The values that are no secrets, by key."""

    async def revision(self, settings: SettingsName) -> str:
        """Another text whenever a value or a secret of a settings document is another one; it tells neither."""

    async def lease(self, settings: SettingsName, user: str, signer: str = "") -> Ticket:
        """A ticket to the values of a settings document, with a person's token where each signs in for themselves.

        A refusal since the org has to sign in again has a link of `signer`, who may do that.
        """

    async def offer(self, connection: ConnectionName, oauth2: OAuth2) -> None:
        """Say where one signs in for a settings document; raises InvalidArgument for a place that is not public."""

    async def verify(
        self, settings: SettingsName, verifier: Verifier, headers: Mapping[str, str], body: bytes
    ) -> Proof:
        """Whether a delivery proves who sent it."""

    async def delete(self, settings: SettingsName) -> None:
        """Remove a settings document; one that is not there is removed already."""

    def changes(self) -> AsyncIterator[tuple[SettingsName, ...]]:
        """The documents that change from the first message on, which names none and comes at once."""


class GrpcConfig:
    """The config unit."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = config_pb2_grpc.ConfigServiceStub(channel)

    async def configured(self, settings: SettingsName) -> frozenset[str]:
        """See Config."""
        found = await self._stub.GetSettings(config_pb2.GetSettingsRequest(name=str(settings)))
        valued = {key for key, value in found.values.fields.items() if value.WhichOneof("kind") != "null_value"}
        connected = {found.connected_key} if found.connected_key else set()
        return frozenset(valued | set(found.secrets) | connected)

    async def values(self, settings: SettingsName) -> Mapping[str, Any]:
        """See Config."""
        found = await self._stub.GetSettings(config_pb2.GetSettingsRequest(name=str(settings)))
        return {key: value for key, value in from_struct(found.values).items() if value is not None}

    async def revision(self, settings: SettingsName) -> str:
        """See Config."""
        found = await self._stub.GetSettings(config_pb2.GetSettingsRequest(name=str(settings)))
        names = sorted(set(found.secrets.values()))
        requests = [config_pb2.GetSecretRequest(name=name) for name in names]
        secrets = await asyncio.gather(*(self._stub.GetSecret(request) for request in requests))
        return " ".join([found.etag, found.connected_key, *(secret.etag for secret in secrets)])

    async def lease(self, settings: SettingsName, user: str, signer: str = "") -> Ticket:
        """See Config."""
        asked = config_pb2.CreateLeaseRequest(settings=str(settings), user=user, signer=signer)
        lease = await self._stub.CreateLease(asked)
        return Ticket(lease.token, lease.expire_time.ToDatetime(tzinfo=UTC), lease.per_user)

    async def offer(self, connection: ConnectionName, oauth2: OAuth2) -> None:
        """See Config."""
        provider = config_pb2.Provider(
            setting=oauth2.setting,
            grant=oauth2.grant,
            authorization_url=oauth2.authorization_url,
            token_url=oauth2.token_url,
            scopes=oauth2.scopes,
            revocation_url=oauth2.revocation_url,
        )
        await self._stub.OfferConnection(config_pb2.OfferConnectionRequest(name=str(connection), provider=provider))

    async def verify(
        self, settings: SettingsName, verifier: Verifier, headers: Mapping[str, str], body: bytes
    ) -> Proof:
        """See Config."""
        request = config_pb2.VerifySignatureRequest(
            settings=str(settings),
            key=verifier.secret,
            scheme=f"SIGNATURE_SCHEME_{verifier.kind.upper().replace('-', '_')}",
            headers=headers,
            body=body,
            header=verifier.header,
            timestamp_header=verifier.timestamp_header,
        )
        found = await self._stub.VerifySignature(request, timeout=VERIFY_SECONDS)
        return Proof(_VERDICTS[found.verdict], found.digest, timed=found.timed)

    async def delete(self, settings: SettingsName) -> None:
        """See Config."""
        request = config_pb2.DeleteSettingsRequest(name=str(settings), request_id=uuid.uuid4().hex)
        await self._stub.DeleteSettings(request, timeout=DELETE_SECONDS)

    async def changes(self) -> AsyncIterator[tuple[SettingsName, ...]]:
        """See Config."""
        async for message in self._stub.WatchChanges(config_pb2.WatchChangesRequest()):
            yield tuple(SettingsName.parse(name) for name in message.settings)
