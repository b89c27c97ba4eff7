"""Stored files."""

from hardpoint.files.v1 import files_pb2
from hardpoint.files.v1.files_pb2_grpc import FileServiceServicer

from .world import Fake, known


class Files(Fake, FileServiceServicer):
    async def UploadFile(self, request_iterator, context):
        messages = [message async for message in request_iterator]
        header = messages[0].header
        self.world.ask("UploadFile", messages[0])
        name = f"{header.parent}/files/f{len(self.world.files) + 1}"
        self.world.files[name] = files_pb2.File(
            name=name,
            display_name=header.display_name,
            type=header.type or "application/pdf",
            size_bytes=header.size_bytes,
            creator="ada",
            expire_time=header.expire_time if header.HasField("expire_time") else None,
        )
        self.world.contents[name] = b"".join(message.chunk for message in messages[1:])
        return self.world.files[name]

    async def GetFile(self, request, context):
        self.world.ask("GetFile", request)
        return known(self.world.files, "file", request.name)

    async def ReadFile(self, request, context):
        self.world.ask("ReadFile", request)
        known(self.world.files, "file", request.name)
        yield files_pb2.ReadFileResponse(chunk=self.world.contents[request.name])

    async def ListFiles(self, request, context):
        self.world.ask("ListFiles", request)
        return files_pb2.ListFilesResponse(files=self.world.files.values())

    async def DeleteFile(self, request, context):
        self.world.ask("DeleteFile", request)
        known(self.world.files, "file", request.name)
        del self.world.files[request.name]
        return files_pb2.DeleteFileResponse()
