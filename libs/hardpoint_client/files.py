"""Stored files from a program: uploaded and read in parts, and their handles, which actions take and give."""

import hashlib
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from google.protobuf.timestamp_pb2 import Timestamp

from hardpoint.files.v1 import files_pb2
from hardpoint_kit.errors import OutOfRange

if TYPE_CHECKING:
    from hardpoint.files.v1.files_pb2_grpc import FileServiceAsyncStub

MOST_BYTES = 32 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
UPLOAD_SECONDS = 180.0
READ_SECONDS = 180.0


async def upload(
    stub: "FileServiceAsyncStub", parent: str, data: bytes, name: str, declared_type: str, expire_time: datetime | None
) -> files_pb2.File:
    """Store bytes as a file; raises OutOfRange for too many, before anything is sent."""
    if len(data) > MOST_BYTES:
        raise OutOfRange(
            f"{name} has more than {MOST_BYTES:,} bytes, which is as many as a file may have",
            reason="FILE_TOO_LARGE",
            fix="split the file, or compress it",
            limit_bytes=MOST_BYTES,
        )
    header = files_pb2.UploadFileRequest.Header(
        parent=parent,
        display_name=name,
        type=declared_type,
        digest=f"sha256:{hashlib.sha256(data).hexdigest()}",
        size_bytes=len(data),
        expire_time=_timestamp(expire_time) if expire_time else None,
    )
    request_id = str(uuid.uuid4())

    async def parts() -> AsyncIterator[files_pb2.UploadFileRequest]:
        yield files_pb2.UploadFileRequest(header=header, request_id=request_id)
        for start in range(0, len(data), CHUNK_BYTES):
            yield files_pb2.UploadFileRequest(chunk=data[start : start + CHUNK_BYTES])

    return await stub.UploadFile(parts(), timeout=UPLOAD_SECONDS)


async def read(stub: "FileServiceAsyncStub", name: str) -> AsyncIterator[bytes]:
    """The bytes of a file in parts; raises NotFound, also in the middle when it is deleted."""
    async for part in stub.ReadFile(files_pb2.ReadFileRequest(name=name), timeout=READ_SECONDS):
        yield part.chunk


def handle_of(file: files_pb2.File) -> dict[str, Any]:
    """What an action takes as a file, and gives."""
    until = {"expire_time": file.expire_time.ToJsonString()} if file.HasField("expire_time") else {}
    return {"id": file.name, "name": file.display_name, "type": file.type, "size": file.size_bytes, **until}


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
