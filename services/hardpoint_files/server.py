"""Puts the unit of stored files together: the only place that names concrete classes."""

from pydantic import Field

from hardpoint.audit.v1 import audit_pb2_grpc
from hardpoint.files.v1 import files_pb2_grpc
from hardpoint_files.domain import Quota
from hardpoint_files.rpc import ExecutionFileRpc, FileRpc
from hardpoint_files.service import FORGOTTEN_AT_ONCE, Files
from hardpoint_files.store import Store, forget_expired, forget_names
from hardpoint_kit import options
from hardpoint_kit.audit import AuditRpc
from hardpoint_kit.database import Database, migrate
from hardpoint_kit.platform import Platform
from hardpoint_kit.retention import Retention, Term, common_terms
from hardpoint_kit.unit import Unit


class Options(options.Options):
    """What the unit of stored files can be told."""

    files_database_url: str = ""
    """The unit's own PostgreSQL database, as a role that is granted nothing else."""
    files_quota_bytes: int = Field(default=1024**3, gt=0)
    """Bytes that the files of one org may have together."""
    files_quota_files: int = Field(default=10_000, gt=0)
    """Files that one org may keep."""
    files_run_days: float = Field(default=30, gt=0)
    """How long files are kept that a run saved, and how long it is remembered of any file that it expired."""


def build(options: Options, platform: Platform) -> Unit:
    """Return the unit; starting it migrates its database."""
    database = Database(options.files_database_url)
    quota = Quota(options.files_quota_files, options.files_quota_bytes)
    files = Files(Store(database), platform.clock, quota, options.files_run_days)
    expired = Term("expired files", 0, forget_expired, batch=FORGOTTEN_AT_ONCE)
    names = Term("names of expired files", options.files_run_days, forget_names)
    retention = Retention(database, platform.clock, (*common_terms(options), expired, names))

    async def start() -> None:
        await migrate(options.files_database_url, "hardpoint_files")
        await retention.start()

    async def stop() -> None:
        await retention.stop()
        await database.close()

    return Unit(
        name="files",
        services=[
            (files_pb2_grpc.add_FileServiceServicer_to_server, FileRpc(files)),
            (files_pb2_grpc.add_ExecutionFileServiceServicer_to_server, ExecutionFileRpc(files)),
            (audit_pb2_grpc.add_AuditServiceServicer_to_server, AuditRpc(database)),
        ],
        start=start,
        drain=files.drain,
        stop=stop,
        ready=database.reasons_not_ready,
    )
