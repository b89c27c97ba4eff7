"""Owns the receiving of bytes: nothing counts as a file before all of it came and is what was announced.

What comes is kept in a file without a name, which is gone with this process: a slow sender holds neither memory nor a
connection to the database, and an upload that breaks off leaves nothing behind.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Generic, Self, TypeVar

from hardpoint_files.domain import Announced
from hardpoint_files.kinds import HEAD_BYTES
from hardpoint_kit.errors import InvalidArgument, OutOfRange

IN_MEMORY = 512 * 1024
HEADER_SECONDS = 10.0
"""How long a stream may say nothing: who saves by a ticket shows no token before it."""

Header = TypeVar("Header")


class Upload:
    """Bytes on their way in; used as a context, which forgets them."""

    def __init__(self, announced: Announced) -> None:
        self.announced = announced
        self._kept = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - the context closes it
        self._hash = hashlib.sha256()
        self._received = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kept.close()

    def add(self, chunk: bytes) -> None:
        """Take the next bytes; raises OutOfRange when they are more than was announced."""
        if self._received + len(chunk) > self.announced.size_bytes:
            raise OutOfRange(
                f"more than the announced {self.announced.size_bytes:,} bytes came",
                reason="FILE_TOO_LARGE",
                place="chunk",
                fix="announce the file's size as it is",
                limit_bytes=self.announced.size_bytes,
            )
        self._received += len(chunk)
        self._hash.update(chunk)
        self._kept.write(chunk)

    def complete(self) -> None:
        """Check that all bytes came; raises InvalidArgument when some are missing or they have another digest."""
        announced = self.announced
        if self._received < announced.size_bytes:
            raise InvalidArgument(
                f"the upload ended after {self._received:,} of {announced.size_bytes:,} bytes",
                reason="FILE_INCOMPLETE",
                place="chunk",
                fix="upload it again",
                received_bytes=self._received,
                announced_bytes=announced.size_bytes,
            )
        digest = f"sha256:{self._hash.hexdigest()}"
        if digest != announced.digest:
            raise InvalidArgument(
                "the bytes do not have the digest that was announced",
                reason="DIGEST_MISMATCH",
                place="header.digest",
                fix="compute the digest of the bytes as they are sent, and upload them again",
                announced=announced.digest,
                received=digest,
            )

    def head(self) -> bytes:
        """The first bytes."""
        self._kept.seek(0)
        return self._kept.read(HEAD_BYTES)

    def parts(self, size: int) -> Iterator[bytes]:
        """All bytes, in parts of `size` and a last one."""
        self._kept.seek(0)
        while part := self._kept.read(size):
            yield part


class Incoming(Generic[Header]):
    """A stream of one header and then chunks; raises InvalidArgument for another order."""

    def __init__(self, parts: AsyncIterator[Header | bytes]) -> None:
        self._parts = parts

    async def header(self) -> Header:
        """What stands first; raises TimeoutError when it does not come."""
        async with asyncio.timeout(HEADER_SECONDS):
            async for part in self._parts:
                if isinstance(part, bytes):
                    raise _out_of_order("a chunk came before the header")
                return part
        raise _out_of_order("nothing came")

    async def fill(self, upload: Upload) -> None:
        """Pass the chunks on, and check that they were all; raises what Upload raises."""
        async for part in self._parts:
            if not isinstance(part, bytes):
                raise _out_of_order("a second header came")
            upload.add(part)
        upload.complete()

    async def drain(self) -> None:
        """Read what still comes: a sender in the middle of its stream would not hear a refusal."""
        async for _ in self._parts:
            pass


def _out_of_order(problem: str) -> InvalidArgument:
    return InvalidArgument({"part": problem}, fix="send the header once, first, and then the chunks")
