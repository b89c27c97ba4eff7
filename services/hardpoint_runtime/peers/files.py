"""The runtime's view of the unit of stored files: tickets for runs, and news of uploads."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import grpc.aio

from hardpoint.files.v1 import files_pb2, files_pb2_grpc
from hardpoint_kit.names import FileName, OrgName, RunName
from hardpoint_runtime.domain.executions import Handle, Lent, SaveLimits


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that somebody of an org uploaded, by its handle."""

    org: str
    handle: Handle


class Files(Protocol):
    """Where stored files are kept."""

    async def ticket(self, run: RunName, names: Sequence[FileName], save: SaveLimits) -> Lent:
        """Let a run open files and save some; raises NotFound whose metadata `resource` is a file that is not there."""

    def uploads(self, after: str) -> AsyncIterator[tuple[tuple[Upload, ...], str]]:
        """Uploads of all orgs behind a cursor, in their order, each time with the cursor behind them.

        Without a cursor those from now on; what comes first may be none.
        """


class GrpcFiles:
    """The unit of stored files."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = files_pb2_grpc.FileServiceStub(channel)

    async def ticket(self, run: RunName, names: Sequence[FileName], save: SaveLimits) -> Lent:
        """See Files."""
        request = files_pb2.CreateFileTicketRequest(
            parent=str(OrgName(run.org)),
            names=map(str, names),
            run=str(run),
            execution_id=run.run,
            save_files=save.files,
            save_bytes=save.size_bytes,
        )
        answer = await self._stub.CreateFileTicket(request)
        return Lent(answer.ticket, tuple(map(_handle, answer.files)))

    async def uploads(self, after: str) -> AsyncIterator[tuple[tuple[Upload, ...], str]]:
        """See Files."""
        async for message in self._stub.WatchFiles(files_pb2.WatchFilesRequest(after=after)):
            yield tuple(Upload(FileName.parse(file.name).org, _handle(file)) for file in message.files), message.cursor


def _handle(file: files_pb2.File) -> Handle:
    until = {"expire_time": file.expire_time.ToJsonString()} if file.HasField("expire_time") else {}
    return {"id": file.name, "name": file.display_name, "type": file.type, "size": file.size_bytes, **until}
