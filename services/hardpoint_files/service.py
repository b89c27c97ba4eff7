"""Owns the use cases of stored files: keeping, reading, listing, deleting, and lending them to executions."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import NoneType
from weakref import WeakValueDictionary

from hardpoint_files.domain import Announced, Expired, File, Quota, new_name, whole_second
from hardpoint_files.kinds import type_of
from hardpoint_files.store import PART_BYTES, Cursor, Store, Transaction, missing
from hardpoint_files.tickets import Pass, Ticket, Tickets
from hardpoint_files.upload import Incoming, Upload
from hardpoint_kit.audit import record
from hardpoint_kit.caller import ANY_ORG, Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import HardpointError, InvalidArgument, NotFound, ResourceExhausted
from hardpoint_kit.idempotency import once
from hardpoint_kit.names import FileName, OrgName
from hardpoint_kit.paging import Page, PageToken, page_size

UPLOAD_SECONDS = 120.0
READ_ON_SECONDS = 1.0
UPLOADS_AT_ONCE = 8
"""Of one org in this process; others wait for their turn, and are not read meanwhile."""
LOOK_SECONDS = 1.0
"""How soon a watcher hears of an upload to another process."""
MOST_TOLD = 100
FORGOTTEN_AT_ONCE = 50

_LATEST = (datetime.max.replace(tzinfo=UTC), "~")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class UploadHeader:
    """What a person's or program's upload begins with."""

    parent: OrgName
    announced: Announced
    expire_time: datetime | None
    request_id: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class SaveHeader:
    """What an execution's file begins with; `expires_in` is how long it is needed, where that is known."""

    ticket: str
    announced: Announced
    expires_in: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of a list is asked for; `query` is the fingerprint of all else."""

    query: str
    size: int
    token: str
    creator: str = ""
    run: str = ""


@dataclass(frozen=True, slots=True)
class Range:
    """Which bytes are asked for; a `length` of 0 means all the rest."""

    offset: int = 0
    length: int = 0


class Files:
    """The files of organisations; those of runs are forgotten after `run_days`."""

    def __init__(self, store: Store, clock: Clock, quota: Quota, run_days: float) -> None:
        self._store = store
        self._clock = clock
        self._quota = quota
        self._run_time = timedelta(days=run_days)
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._known_tickets: Tickets | None = None
        self._draining = False
        self._news = asyncio.Event()

    async def upload(self, caller: Caller, parts: AsyncIterator[UploadHeader | bytes]) -> File:
        """Keep a file of the caller's org once all of it came, in time."""
        incoming = Incoming(parts)
        async with _refusals_are_heard(incoming):
            header = await incoming.header()
            if header.expire_time is not None and header.expire_time <= self._clock.now():
                raise InvalidArgument({"header.expire_time": "is over already"}, fix="use a time that is to come")
            asks = replace(caller, request_id=header.request_id)
            async with self._received(header.parent.org, header.announced, incoming) as (upload, kind):
                file = self._file(header.parent.org, header.announced, kind, caller.subject)
                file = replace(file, expire_time=header.expire_time)

                async def work() -> File:
                    await self._keep(tx, file, upload)
                    await record(tx.connection, caller, "file.upload", file.name, digest=file.digest, type=file.type)
                    return file

                async with self._store.transaction(caller.org) as tx:
                    kept = await once(tx.connection, asks, "UploadFile", header.fingerprint, File, work)
                self._tell()
                return kept

    async def save(self, parts: AsyncIterator[SaveHeader | bytes]) -> File:
        """Keep a file of the execution whose ticket comes first; raises Unauthenticated, and ResourceExhausted."""
        incoming = Incoming(parts)
        async with _refusals_are_heard(incoming):
            header = await incoming.header()
            granted = (await self._tickets()).read(header.ticket, self._clock.now())
            _check_saving(granted, 0, 0, header.announced.size_bytes)
            kept_for = min(header.expires_in or self._run_time, self._run_time)
            async with self._received(granted.org, header.announced, incoming) as (upload, kind):
                file = replace(
                    self._file(granted.org, header.announced, kind, granted.subject),
                    run=granted.run,
                    execution=granted.execution,
                    expire_time=whole_second(self._clock.now() + kept_for),
                )
                who = Caller(granted.subject, granted.org, frozenset(), via="units/executor")
                async with self._store.transaction(granted.org) as tx:
                    await self._keep(tx, file, upload, granted)
                    facts = {"digest": file.digest, "type": file.type, "run": file.run}
                    await record(tx.connection, who, "file.save", file.name, **facts)
        return file

    async def file(self, caller: Caller, name: FileName) -> File:
        """Return what is known of a file; raises NotFound."""
        async with self._store.transaction(caller.org) as tx:
            return await tx.file(name, self._clock.now())

    async def files(self, caller: Caller, parent: OrgName, wanted: Wanted) -> Page[File]:
        """Return files of an org, newest first."""
        cursor = PageToken.decode(wanted.token, wanted.query, int, str)
        before = (_EPOCH + timedelta(microseconds=_in_time(cursor[0])), cursor[1]) if cursor else _LATEST
        size = page_size(wanted.size)
        async with self._store.transaction(caller.org) as tx:
            found = await tx.listed(parent.org, wanted.creator, wanted.run, before, size + 1, self._clock.now())
        shown = found[:size]
        if len(found) <= size:
            return Page(tuple(shown))
        since = (shown[-1].create_time - _EPOCH) // timedelta(microseconds=1)
        return Page(tuple(shown), PageToken.encode(wanted.query, (since, shown[-1].name.file)))

    async def read(self, caller: Caller, name: FileName, wanted: Range) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a file; raises NotFound, also in the middle when it is deleted, and FILE_EXPIRED."""
        async with self._store.transaction(caller.org) as tx:
            file = await tx.file(name, self._clock.now())
            await record(tx.connection, caller, "file.read", name)
        async for part in self._bytes(file, wanted):
            yield part

    async def open(self, name: FileName, ticket: str, wanted: Range) -> AsyncGenerator[tuple[bytes, int], None]:
        """Yield the bytes of a file that an execution may open, with its whole size; one message at the least.

        Raises Unauthenticated, and NotFound for a file that the ticket is not for as for one that is not there;
        FILE_EXPIRED for one that it was for.
        """
        granted = (await self._tickets()).read(ticket, self._clock.now())
        if name.org != granted.org:
            raise NotFound("file", name)
        async with self._store.transaction(granted.org) as tx:
            file = await tx.find(name, self._clock.now())
        if file is None or (name.file not in granted.opens and file.execution != granted.execution):
            raise NotFound("file", name)
        if isinstance(file, Expired):
            raise file.error()
        told = False
        async for part in self._bytes(file, wanted):
            told = True
            yield part, file.size_bytes
        if not told:
            yield b"", file.size_bytes

    async def delete(self, caller: Caller, name: FileName, fingerprint: str) -> None:
        """Remove a file, and its bytes when no other has them; raises NotFound."""

        async def work() -> None:
            file = await tx.file(name, self._clock.now())
            if not await tx.delete(file):
                raise NotFound("file", name)
            await record(tx.connection, caller, "file.delete", name, digest=file.digest)

        async with self._store.transaction(caller.org) as tx:
            await once(tx.connection, caller, "DeleteFile", fingerprint, NoneType, work)

    async def ticket(self, caller: Caller, names: Sequence[FileName], granted: Pass) -> tuple[Ticket, list[File]]:
        """Let an execution open files and save some; raises NotFound, or FILE_EXPIRED, for one that is not there."""
        async with self._store.transaction(caller.org) as tx:
            found = await tx.files(caller.org, granted.opens, self._clock.now())
            for name in names:
                if name.org != caller.org or name.file not in found:
                    raise missing(name, await tx.expired(name))
            for file in found.values():
                await record(tx.connection, caller, "file.open", file.name, run=granted.run)
        return (await self._tickets()).issue(granted, self._clock.now()), [found[name.file] for name in names]

    async def watch(self, after: Cursor | None) -> AsyncGenerator[tuple[list[File], Cursor], None]:
        """Yield uploads of all orgs with the cursor behind them, for ever; what comes first may be none."""
        async with self._store.transaction(ANY_ORG) as tx:
            cursor = after or await tx.cursor()
        told = False
        while not self._draining:
            news = self._news
            async with self._store.transaction(ANY_ORG) as tx:
                files, cursor = await tx.uploads(cursor, MOST_TOLD)
            if files or not told:
                told = True
                yield files, cursor
            if len(files) < MOST_TOLD:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), LOOK_SECONDS)

    async def drain(self) -> None:
        """End every watch."""
        self._draining = True
        self._tell()

    def _tell(self) -> None:
        """Have every watcher look now."""
        self._news.set()
        self._news = asyncio.Event()

    @contextlib.asynccontextmanager
    async def _received(
        self, org: str, announced: Announced, incoming: Incoming[UploadHeader] | Incoming[SaveHeader]
    ) -> AsyncIterator[tuple[Upload, str]]:
        """All that was announced, and its type; raises ResourceExhausted early where there is no room for it."""
        turn = self._turns.get(org) or self._turns.setdefault(org, asyncio.Semaphore(UPLOADS_AT_ONCE))
        async with asyncio.timeout(UPLOAD_SECONDS):
            await turn.acquire()
        try:
            if not await self._has_room(org, announced.size_bytes):
                raise self._full()
            with Upload(announced) as upload:
                async with asyncio.timeout(UPLOAD_SECONDS):
                    await incoming.fill(upload)
                yield upload, type_of(upload.head(), announced.declared_type, announced.display_name)
        finally:
            turn.release()

    async def _has_room(self, org: str, size_bytes: int) -> bool:
        """Whether an org may keep a file of this size, with what expired out of its way."""
        async with self._store.transaction(org) as tx:
            files, kept_bytes = await tx.kept(org)
            if self._fits(files, kept_bytes + size_bytes):
                return True
            over, over_bytes = await tx.over(org, self._clock.now())
        return self._fits(files - over, kept_bytes - over_bytes + size_bytes)

    def _fits(self, files: int, size_bytes: int) -> bool:
        return files < self._quota.files and size_bytes <= self._quota.size_bytes

    async def _keep(self, tx: Transaction, file: File, upload: Upload, granted: Pass | None = None) -> None:
        await tx.add_content(file.name.org, file.digest, upload.parts(PART_BYTES))
        while not await tx.keep(file.name.org, file.size_bytes, self._quota):
            if not await tx.delete_expired(self._clock.now(), FORGOTTEN_AT_ONCE):
                raise self._full()
            # An expired file may have had the same bytes, and have been the last one.
            await tx.add_content(file.name.org, file.digest, upload.parts(PART_BYTES))
        if granted is not None:
            _check_saving(granted, *await tx.saved(granted.org, granted.execution), file.size_bytes)
        await tx.add(file)

    def _file(self, org: str, announced: Announced, kind: str, creator: str) -> File:
        return File(
            name=new_name(org),
            display_name=announced.display_name,
            type=kind,
            digest=announced.digest,
            size_bytes=announced.size_bytes,
            creator=creator,
            create_time=self._clock.now(),
        )

    def _full(self) -> ResourceExhausted:
        limit = f"{self._quota.files:,} files, {self._quota.size_bytes:,} bytes"
        return ResourceExhausted(
            f"the org keeps as many files as it may: {limit}",
            reason="FILE_QUOTA",
            fix="delete files that nobody needs, or ask the operator for more room",
            limit=limit,
        )

    async def _bytes(self, file: File, wanted: Range) -> AsyncGenerator[bytes, None]:
        end = min(file.size_bytes, wanted.offset + wanted.length) if wanted.length else file.size_bytes
        at = wanted.offset
        while at < end:
            number, skipped = divmod(at, PART_BYTES)
            # A transaction for each part: a slow reader holds no connection to the database.
            async with self._store.transaction(file.name.org) as tx:
                part = await tx.part(file.name, number)
            told = part[skipped : skipped + end - at]
            at += len(told)
            yield told

    async def _tickets(self) -> Tickets:
        if self._known_tickets is None:
            async with self._store.transaction(ANY_ORG) as tx:
                self._known_tickets = Tickets(await tx.ticket_key())
        return self._known_tickets


def _check_saving(granted: Pass, files: int, size_bytes: int, more: int) -> None:
    if files < granted.save_files and size_bytes + more <= granted.save_bytes:
        return
    limit = f"{granted.save_files} files, {granted.save_bytes:,} bytes"
    raise ResourceExhausted(
        f"the execution may save at most {limit}", reason="FILE_SAVE_LIMIT", fix="save less, or fewer", limit=limit
    )


def _in_time(microseconds: int) -> int:
    if not 0 <= microseconds < 2**57:
        raise InvalidArgument(
            {"page_token": "is not a page token of ours"}, reason="PAGE_TOKEN_MISMATCH", fix="start again without it"
        )
    return microseconds


@contextlib.asynccontextmanager
async def _refusals_are_heard(incoming: Incoming[UploadHeader] | Incoming[SaveHeader]) -> AsyncIterator[None]:
    """Read on for a moment when what comes is refused."""
    try:
        yield
    except HardpointError:
        with contextlib.suppress(HardpointError, TimeoutError):
            async with asyncio.timeout(READ_ON_SECONDS):
                await incoming.drain()
        raise
