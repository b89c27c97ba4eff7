"""The gRPC shell of stored files: unpack, call, pack."""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, timedelta
from typing import Any

import grpc

from hardpoint.files.v1 import files_pb2 as pb
from hardpoint.files.v1 import files_pb2_grpc
from hardpoint_files.domain import Announced, File
from hardpoint_files.service import Files, Range, SaveHeader, UploadHeader, Wanted
from hardpoint_files.store import Cursor
from hardpoint_files.tickets import Pass
from hardpoint_kit.caller import caller
from hardpoint_kit.errors import InvalidArgument
from hardpoint_kit.idempotency import request_fingerprint
from hardpoint_kit.names import FileName, OrgName, RunName
from hardpoint_kit.paging import query_fingerprint

Context = grpc.aio.ServicerContext[Any, Any]

_CURSOR = re.compile(r"([0-9]{1,19})\.([0-9]{1,18})")


class FileRpc(files_pb2_grpc.FileServiceServicer):
    """FileService over Files."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def UploadFile(self, request_iterator: AsyncIterator[pb.UploadFileRequest], context: Context) -> pb.File:
        """See the proto."""
        parts = (upload_part(request) async for request in request_iterator)
        return file_to_proto(await self._files.upload(caller(context), parts))

    async def ReadFile(self, request: pb.ReadFileRequest, context: Context) -> AsyncIterator[pb.ReadFileResponse]:
        """See the proto."""
        wanted = Range(request.offset, request.length)
        async with aclosing(self._files.read(caller(context), FileName.parse(request.name), wanted)) as parts:
            async for part in parts:
                yield pb.ReadFileResponse(chunk=part)

    async def GetFile(self, request: pb.GetFileRequest, context: Context) -> pb.File:
        """See the proto."""
        return file_to_proto(await self._files.file(caller(context), FileName.parse(request.name)))

    async def ListFiles(self, request: pb.ListFilesRequest, context: Context) -> pb.ListFilesResponse:
        """See the proto."""
        wanted = Wanted(query_fingerprint(request), request.page_size, request.page_token, request.creator, request.run)
        page = await self._files.files(caller(context), OrgName.parse(request.parent, "parent"), wanted)
        return pb.ListFilesResponse(files=map(file_to_proto, page.items), next_page_token=page.next_page_token)

    async def DeleteFile(self, request: pb.DeleteFileRequest, context: Context) -> pb.DeleteFileResponse:
        """See the proto."""
        await self._files.delete(caller(context), FileName.parse(request.name), request_fingerprint(request))
        return pb.DeleteFileResponse()

    async def CreateFileTicket(self, request: pb.CreateFileTicketRequest, context: Context) -> pb.FileTicket:
        """See the proto."""
        names = [FileName.parse(name, f"names[{index}]") for index, name in enumerate(request.names)]
        org = OrgName.parse(request.parent, "parent").org
        granted = Pass(
            org=org,
            subject=caller(context).subject,
            run=str(RunName.parse(request.run, "run")),
            execution=request.execution_id,
            opens=[name.file for name in names if name.org == org],
            save_files=request.save_files,
            save_bytes=request.save_bytes,
        )
        ticket, files = await self._files.ticket(caller(context), names, granted)
        return pb.FileTicket(ticket=ticket.text, expire_time=ticket.expire_time, files=map(file_to_proto, files))

    async def WatchFiles(
        self, request: pb.WatchFilesRequest, _context: Context
    ) -> AsyncIterator[pb.WatchFilesResponse]:
        """See the proto."""
        async with aclosing(self._files.watch(cursor_from_proto(request.after))) as told:
            async for files, cursor in told:
                yield pb.WatchFilesResponse(files=map(file_to_proto, files), cursor=f"{cursor[0]}.{cursor[1]}")


class ExecutionFileRpc(files_pb2_grpc.ExecutionFileServiceServicer):
    """ExecutionFileService over Files."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def OpenFile(self, request: pb.OpenFileRequest, _context: Context) -> AsyncIterator[pb.OpenFileResponse]:
        """See the proto."""
        name, wanted = FileName.parse(request.name), Range(request.offset, request.length)
        async with aclosing(self._files.open(name, request.ticket, wanted)) as parts:
            async for part, size in parts:
                yield pb.OpenFileResponse(chunk=part, size_bytes=size)

    async def SaveFile(self, request_iterator: AsyncIterator[pb.SaveFileRequest], _context: Context) -> pb.File:
        """See the proto."""
        parts = (save_part(request) async for request in request_iterator)
        return file_to_proto(await self._files.save(parts))


def upload_part(request: pb.UploadFileRequest) -> UploadHeader | bytes:
    """Read one message of an upload."""
    if request.WhichOneof("part") == "chunk":
        return request.chunk
    header = request.header
    return UploadHeader(
        parent=OrgName.parse(header.parent, "header.parent"),
        announced=announced_from_proto(header),
        expire_time=header.expire_time.ToDatetime(tzinfo=UTC) if header.HasField("expire_time") else None,
        request_id=request.request_id,
        fingerprint=request_fingerprint(request),
    )


def save_part(request: pb.SaveFileRequest) -> SaveHeader | bytes:
    """Read one message of what an execution saves."""
    if request.WhichOneof("part") == "chunk":
        return request.chunk
    header = request.header
    return SaveHeader(header.ticket, announced_from_proto(header), timedelta(seconds=header.expires_in) or None)


def announced_from_proto(header: pb.UploadFileRequest.Header | pb.SaveFileRequest.Header) -> Announced:
    """Read what is said of bytes that are to come; raises InvalidArgument and OutOfRange."""
    return Announced(header.display_name, header.type, header.digest, header.size_bytes)


def cursor_from_proto(text: str) -> Cursor | None:
    """Read where a watcher goes on; raises InvalidArgument."""
    if not text:
        return None
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise InvalidArgument({"after": "is not a cursor of ours"}, fix="send the cursor of an earlier message")
    return found[1], int(found[2])


def file_to_proto(file: File) -> pb.File:
    """Convert a file."""
    return pb.File(
        name=str(file.name),
        display_name=file.display_name,
        type=file.type,
        size_bytes=file.size_bytes,
        digest=file.digest,
        creator=file.creator,
        run=file.run,
        create_time=file.create_time,
        expire_time=file.expire_time,
    )
