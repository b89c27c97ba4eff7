"""Owns the receiving of bytes: nothing counts as an artifact before all of it came and is what was announced.

An artifact is small, so its bytes are collected in memory and stored by one short transaction: a slow uploader holds
no connection to the database, and an upload that breaks off leaves nothing behind.
"""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from hardpoint_kit.errors import InvalidArgument, OutOfRange
from hardpoint_kit.names import OrgName
from hardpoint_manifest.load import MAX_BYTES
from hardpoint_registry.domain import Artifact


@dataclass(frozen=True, slots=True)
class Announcement:
    """What an upload starts with: whose bytes come, how many, and their digest."""

    parent: OrgName
    artifact: Artifact

    def __post_init__(self) -> None:
        if self.artifact.size_bytes > MAX_BYTES:
            raise OutOfRange(
                f"{self.artifact.size_bytes:,} bytes are announced; an artifact has at most {MAX_BYTES:,}",
                reason="ARTIFACT_TOO_LARGE",
                place="header.size_bytes",
                fix="make the file smaller; data belongs in settings or files, not in a capability",
                limit_bytes=MAX_BYTES,
            )


class Upload:
    """Bytes on their way in."""

    def __init__(self, announced: Announcement) -> None:
        self.announced = announced
        self._received = bytearray()

    def add(self, chunk: bytes) -> None:
        """Take the next bytes; raises OutOfRange when they are more than was announced."""
        size = self.announced.artifact.size_bytes
        if len(self._received) + len(chunk) > size:
            raise OutOfRange(
                f"more than the announced {size:,} bytes came",
                reason="ARTIFACT_TOO_LARGE",
                place="chunk",
                fix="announce the file's size as it is",
                limit_bytes=size,
            )
        self._received += chunk

    def complete(self) -> bytes:
        """Return all bytes; raises InvalidArgument when some are missing or they have another digest."""
        artifact = self.announced.artifact
        if len(self._received) < artifact.size_bytes:
            raise InvalidArgument(
                f"the upload ended after {len(self._received):,} of {artifact.size_bytes:,} bytes",
                reason="ARTIFACT_INCOMPLETE",
                place="chunk",
                fix="upload it again",
                received_bytes=len(self._received),
                announced_bytes=artifact.size_bytes,
            )
        digest = digest_of(self._received)
        if digest != artifact.digest:
            raise InvalidArgument(
                "the bytes do not have the digest that was announced",
                reason="DIGEST_MISMATCH",
                place="header.digest",
                fix="compute the digest of the bytes as they are sent, and upload them again",
                announced=artifact.digest,
                received=digest,
            )
        return bytes(self._received)


async def receive(parts: AsyncIterator[Announcement | bytes]) -> Upload:
    """Collect one announcement and then chunks; raises what Upload raises, and InvalidArgument for another order."""
    upload: Upload | None = None
    async for part in parts:
        if isinstance(part, Announcement):
            if upload is not None:
                raise _out_of_order("a second header came")
            upload = Upload(part)
        elif upload is None:
            raise _out_of_order("a chunk came before the header")
        else:
            upload.add(part)
    if upload is None:
        raise _out_of_order("nothing came")
    return upload


def digest_of(data: bytes | bytearray) -> str:
    """Return the name of these bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _out_of_order(problem: str) -> InvalidArgument:
    return InvalidArgument({"part": problem}, fix="send the header once, first, and then the chunks")
