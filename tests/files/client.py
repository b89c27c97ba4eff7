"""A caller of the unit of stored files over the wire."""

import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import grpc

from hardpoint.audit.v1.audit_pb2 import Event, ListEventsRequest
from hardpoint.audit.v1.audit_pb2_grpc import AuditServiceStub
from hardpoint.files.v1 import files_pb2 as pb
from hardpoint.files.v1.files_pb2_grpc import ExecutionFileServiceStub, FileServiceStub

PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def announced(data: bytes, name: str = "a.bin", **changes: Any) -> dict[str, Any]:
    """The fields of a header for these bytes."""
    return {"display_name": name, "digest": digest_of(data), "size_bytes": len(data), **changes}


def chunked(data: bytes, size: int = 200_000) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


class Client:
    """One caller."""

    def __init__(self, channel: grpc.aio.Channel, org: str) -> None:
        self.org = org
        self.files = FileServiceStub(channel)
        self.executions = ExecutionFileServiceStub(channel)
        self.audit = AuditServiceStub(channel)

    async def upload(self, data: bytes, name: str = "a.bin", *, request_id: str = "", **changes: Any) -> pb.File:
        """Upload bytes as they are."""
        header = pb.UploadFileRequest.Header(parent=f"orgs/{self.org}", **announced(data, name, **changes))
        first = pb.UploadFileRequest(header=header, request_id=request_id)
        return await self.send(first, *(pb.UploadFileRequest(chunk=chunk) for chunk in chunked(data)))

    async def send(self, *messages: pb.UploadFileRequest) -> pb.File:
        async def sent() -> AsyncIterator[pb.UploadFileRequest]:
            for message in messages:
                yield message

        return await self.files.UploadFile(sent())

    async def read(self, name: str, offset: int = 0, length: int = 0) -> bytes:
        request = pb.ReadFileRequest(name=name, offset=offset, length=length)
        return b"".join([part.chunk async for part in self.files.ReadFile(request)])

    async def get(self, name: str) -> pb.File:
        return await self.files.GetFile(pb.GetFileRequest(name=name))

    async def list(self, **fields: Any) -> pb.ListFilesResponse:
        return await self.files.ListFiles(pb.ListFilesRequest(parent=f"orgs/{self.org}", **fields))

    async def names(self, **fields: Any) -> Sequence[str]:
        return [file.display_name for file in (await self.list(**fields)).files]

    async def delete(self, name: str, request_id: str = "") -> None:
        await self.files.DeleteFile(pb.DeleteFileRequest(name=name, request_id=request_id))

    async def ticket(
        self, *names: str, run: str = "r1", execution: str = "e1", save_files: int = 2, save_bytes: int = 1000
    ) -> pb.FileTicket:
        return await self.files.CreateFileTicket(
            pb.CreateFileTicketRequest(
                parent=f"orgs/{self.org}",
                names=names,
                run=f"orgs/{self.org}/runs/{run}",
                execution_id=execution,
                save_files=save_files,
                save_bytes=save_bytes,
            )
        )

    async def open(self, name: str, ticket: str, offset: int = 0, length: int = 0) -> bytes:
        request = pb.OpenFileRequest(name=name, ticket=ticket, offset=offset, length=length)
        return b"".join([part.chunk async for part in self.executions.OpenFile(request)])

    async def save(self, ticket: str, data: bytes, name: str = "out.txt", **changes: Any) -> pb.File:
        async def sent() -> AsyncIterator[pb.SaveFileRequest]:
            header = pb.SaveFileRequest.Header(ticket=ticket, **announced(data, name, **changes))
            yield pb.SaveFileRequest(header=header)
            for chunk in chunked(data):
                yield pb.SaveFileRequest(chunk=chunk)

        return await self.executions.SaveFile(sent())

    async def events(self) -> Sequence[Event]:
        """What was recorded, newest first."""
        return (await self.audit.ListEvents(ListEventsRequest(parent=f"orgs/{self.org}"))).events
