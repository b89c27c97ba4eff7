"""The executor's view of other units: bytes of registry and files, values of config. It asks with tickets alone."""

import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Protocol

import grpc.aio

from hardpoint.config.v1 import config_pb2, config_pb2_grpc
from hardpoint.files.v1 import files_pb2, files_pb2_grpc
from hardpoint.registry.v1 import registry_pb2, registry_pb2_grpc
from hardpoint_executor.broker.scrub import Watched
from hardpoint_executor.domain import Handle
from hardpoint_kit.documents import from_struct
from hardpoint_kit.errors import Internal, Unauthenticated, Unavailable

PEER_SECONDS = 5.0
SAVE_SECONDS = 20.0
CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class Values:
    """What a lease gives: plain settings, secret values and until when they may be kept (UTC).

    `no_text` are the keys of secrets that are set and no text, such as one that signs webhooks: no action can use them.

    The representation leaves the secrets out, so that no log line can hold them by accident.
    """

    settings: Mapping[str, Any]
    secrets: Mapping[str, str]
    expire_time: datetime
    no_text: frozenset[str] = frozenset()

    def watching(self, key: str, value: str) -> Watched:
        """A secret, or what is made of secrets, as what is looked for in all that comes out."""
        found = self._watched.get(key)
        if found is None or found.value != value:
            found = self._watched[key] = Watched(key, value)
        return found

    @cached_property
    def _watched(self) -> dict[str, Watched]:
        """Made once for all calls of the lease."""
        return {}

    def __repr__(self) -> str:
        return f"Values(settings={sorted(self.settings)}, secrets={sorted(self.secrets)})"


class Artifacts(Protocol):
    """Where the bytes of releases come from."""

    async def read(self, digest: str, ticket: str) -> bytes:
        """The bytes of an artifact; raises Unauthenticated for a bad ticket, NotFound, Unavailable."""


class Leases(Protocol):
    """Where settings and secrets come from."""

    async def redeem(self, token: str) -> Values:
        """The values of a lease; raises Unauthenticated for an unknown or expired token, Unavailable."""


@contextmanager
def _refused_ticket() -> Iterator[None]:
    """Say that a ticket is no good as our own error: whoever gave it to us can give us another."""
    try:
        yield
    except Unauthenticated as error:
        raise Unauthenticated(error.message, reason="TICKET_INVALID", fix="ask for a fresh one") from error


class RegistryArtifacts:
    """Artifacts of the registry."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = registry_pb2_grpc.ArtifactServiceStub(channel)

    async def read(self, digest: str, ticket: str) -> bytes:
        """See Artifacts."""
        request = registry_pb2.ReadArtifactRequest(digest=digest, ticket=ticket)
        with _refused_ticket():
            return b"".join([part.chunk async for part in self._stub.ReadArtifact(request, timeout=PEER_SECONDS)])


class ConfigLeases:
    """Leases of config."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = config_pb2_grpc.ConfigServiceStub(channel)

    async def redeem(self, token: str) -> Values:
        """See Leases."""
        try:
            with _refused_ticket():
                leased = await self._stub.RedeemLease(config_pb2.RedeemLeaseRequest(token=token), timeout=PEER_SECONDS)
        except Internal as error:
            # Nothing ran yet, and a defect of ours would be taken for an execution that was lost.
            raise Unavailable(error.message, fix=error.fix) from error
        secrets = {key: text for key, value in leased.secrets.items() if (text := _text(value)) is not None}
        return Values(
            settings=from_struct(leased.values),
            secrets=secrets,
            expire_time=leased.expire_time.ToDatetime(tzinfo=UTC),
            no_text=frozenset(leased.secrets.keys() - secrets.keys()),
        )


def _text(value: bytes) -> str | None:
    """A secret as actions have it."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


class UnitFiles:
    """Stored files of the unit that keeps them; see `broker.stored.Door`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = files_pb2_grpc.ExecutionFileServiceStub(channel)

    async def open(self, ticket: str, file: str, offset: int, length: int) -> tuple[bytes, int]:
        """See Door."""
        request = files_pb2.OpenFileRequest(name=file, ticket=ticket, offset=offset, length=length)
        parts = [part async for part in self._stub.OpenFile(request, timeout=PEER_SECONDS)]
        return b"".join([part.chunk for part in parts]), parts[0].size_bytes

    async def save(self, ticket: str, name: str, declared_type: str, data: bytes, expires_in: int) -> Handle:
        """See Door."""
        header = files_pb2.SaveFileRequest.Header(
            ticket=ticket,
            display_name=name,
            type=declared_type,
            digest=f"sha256:{hashlib.sha256(data).hexdigest()}",
            size_bytes=len(data),
            expires_in=expires_in,
        )

        async def messages() -> AsyncIterator[files_pb2.SaveFileRequest]:
            yield files_pb2.SaveFileRequest(header=header)
            for start in range(0, len(data), CHUNK_BYTES):
                yield files_pb2.SaveFileRequest(chunk=data[start : start + CHUNK_BYTES])

        kept = await self._stub.SaveFile(messages(), timeout=SAVE_SECONDS)
        until = {"expire_time": kept.expire_time.ToJsonString()} if kept.HasField("expire_time") else {}
        return {"id": kept.name, "name": kept.display_name, "type": kept.type, "size": kept.size_bytes, **until}
