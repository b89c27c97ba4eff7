"""The stored files of one execution: what came in its input may be opened, what it makes may be saved.

The unit of files decides by the ticket, which never enters the jail. Nothing is kept here but what the jail is still
sending.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Protocol

from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.effects import Effects
from hardpoint_executor.broker.files import Files, count_of, data_of
from hardpoint_executor.broker.limits import BrokerLimits
from hardpoint_executor.broker.outlet import Outlet
from hardpoint_executor.broker.tape import Tape
from hardpoint_executor.domain import Handle, Lent
from hardpoint_kit.errors import (
    HardpointError,
    InvalidArgument,
    NotFound,
    OutOfRange,
    ResourceExhausted,
    Unauthenticated,
)

READ: Final = "file.read"
WRITE: Final = "file.write"
MOST_OPENED: Final = 512 * 1024
"""Bytes of one answer into the jail."""

_LONGEST_SECONDS: Final = 30 * 24 * 3600
"""For which a file that expires may be asked."""

_LONGEST_ID = 256


class Door(Protocol):
    """Where stored files are."""

    async def open(self, ticket: str, file: str, offset: int, length: int) -> tuple[bytes, int]:
        """Bytes of a file, at most `length` (0: all the rest), and its whole size; raises HardpointError."""

    async def save(self, ticket: str, name: str, declared_type: str, data: bytes, expires_in: int) -> Handle:
        """Keep bytes as a file and return its handle; raises HardpointError.

        It expires in so many seconds, and with 0 when all that runs save does.
        """


@dataclass(slots=True)
class _Saving:
    name: str
    declared_type: str
    expires_in: int = 0
    data: bytearray = field(default_factory=bytearray)


class StoredFiles:
    """Opens and saves by one ticket."""

    def __init__(
        self,
        door: Door,
        lent: Lent,
        limits: BrokerLimits,
        outlet: Outlet,
        temporary: Files,
        effects: Effects,
        tape: Tape | None = None,
    ) -> None:
        self._door = door
        self._tape = tape
        self._lent = lent
        self._limits = limits
        self._outlet = outlet
        self._temporary = temporary
        self._effects = effects
        self._planned: dict[str, bytes] = {}
        """What a dry run did not save, by the id of the handle that stands in for its file."""
        self._known: dict[str, Handle] = {str(handle["id"]): handle for handle in lent.handles}
        self._saving: dict[int, _Saving] = {}
        self._begun = 0
        self._bytes = 0

    @staticmethod
    def permission(method: str, arguments: Mapping[str, Any]) -> str:
        """The permission that an ask of the service `file` needs because of stored files; empty when it needs none."""
        if method == "open" or (method == "list" and arguments.get("stored") is True):
            return READ
        return WRITE if method == "save" else ""

    async def ask(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """Answer with a JSON value; raises BrokerDenied."""
        match method:
            case "list":
                return [dict(handle) for handle in self._known.values()]
            case "open":
                return await self._open(arguments)
            case _:
                return await self._save(arguments)

    async def content(self, file: Any, most: int) -> bytes:
        """All bytes of a stored file that is named by its handle, or by the handle's id; raises BrokerDenied.

        Of a larger one `most` and one more, which is enough to know.
        """
        return (await self._opened(_id(file), 0, most + 1))[0]

    async def keep(self, name: str, declared_type: str, data: bytes) -> Handle:
        """Save what the platform itself makes of an execution, without any permission; raises BrokerDenied."""
        return await self._keep(_Saving(name, declared_type), data)

    async def _open(self, arguments: Mapping[str, Any]) -> Any:
        name = _id(arguments.get("file"))
        if (into := arguments.get("into")) is not None:
            return await self._open_into(name, into)
        offset, length = count_of(arguments, "offset", 0), count_of(arguments, "length", MOST_OPENED)
        data, size = await self._opened(name, offset, min(length, MOST_OPENED)) if length else (b"", 0)
        return {"data": base64.b64encode(data).decode(), "size": size}

    async def _open_into(self, name: str, into: Any) -> Any:
        room = self._temporary.room(into if isinstance(into, str) else "")
        data = await self.content(name, room)
        self._temporary.keep(into, data)
        return self._temporary.described(into)

    async def _opened(self, name: str, offset: int, length: int) -> tuple[bytes, int]:
        if (planned := self._planned.get(name)) is not None:
            return planned[offset : offset + length] if length else planned[offset:], len(planned)
        if not self._lent.ticket or (self._lent.alone and name not in self._known):
            raise _not_given(name)
        if self._tape is None:
            return await self._open_door(name, offset, length)

        async def opened() -> dict[str, Any]:
            data, size = await self._open_door(name, offset, length)
            return {"data": base64.b64encode(data).decode(), "size": size}

        asked = {"file": name, "offset": offset, "length": length}
        answer = await self._tape.effect("file", "open", asked, opened)
        return base64.b64decode(answer["data"]), answer["size"]

    async def _open_door(self, name: str, offset: int, length: int) -> tuple[bytes, int]:
        try:
            return await self._door.open(self._lent.ticket, name, offset, length)
        except (NotFound, InvalidArgument, Unauthenticated) as error:
            if error.reason == DenialCode.FILE_EXPIRED:
                facts = {"file": name, "expire_time": error.metadata.get("expire_time", "")}
                raise BrokerDenied(DenialCode.FILE_EXPIRED, error.message, error.fix, **facts) from None
            raise _not_given(name) from None
        except HardpointError as error:
            raise _away(error) from None

    async def _save(self, arguments: Mapping[str, Any]) -> Any:
        source = arguments.get("from_file")
        if source is not None:
            data = self._temporary.content(source if isinstance(source, str) else "")
            saving = self._begin(arguments)
            self._room_for(len(data))
            return await self._write(saving, data)
        number = arguments.get("saving")
        if number is None:
            saving, number = self._begin(arguments), self._begun
        elif isinstance(number, int) and number in self._saving:
            saving = self._saving.pop(number)
        else:
            raise BrokerDenied(DenialCode.INVALID_ARGUMENT, "no file is being saved under that number", "begin anew")
        part = data_of(arguments)
        self._room_for(len(part))
        saving.data += part
        if arguments.get("more") is True:
            self._saving[number] = saving
            return {"saving": number}
        return await self._write(saving, bytes(saving.data))

    def _begin(self, arguments: Mapping[str, Any]) -> _Saving:
        name, declared = arguments.get("name"), arguments.get("type") or ""
        if not (isinstance(name, str) and isinstance(declared, str) and len(declared) <= 200):
            raise BrokerDenied(DenialCode.INVALID_ARGUMENT, "the name and the type of a file are texts", "pass texts")
        expires_in = _seconds(arguments.get("expires_in"))
        if self._begun >= self._limits.saved_files:
            raise _too_much(f"{self._limits.saved_files} files")
        self._begun += 1
        return _Saving(name, declared, expires_in)

    def _room_for(self, size: int) -> None:
        if self._bytes + size > self._limits.saved_bytes:
            raise _too_much(f"{self._limits.saved_bytes} bytes")
        self._bytes += size

    async def _write(self, saving: _Saving, data: bytes) -> Handle:
        """Save what the execution asks to be saved; in a dry run the handle of a file that will not be there."""
        if self._effects.watching:
            await self._check(saving, data)
            told = {"type": saving.declared_type, "content": self._effects.body(data), **_expiry(saving)}
            if not await self._effects.admit("file", "save", saving.name, told):
                handle = {
                    "id": f"orgs/{self._effects.org}/files/dry-run-{secrets.token_hex(8)}",
                    "name": saving.name,
                    "type": saving.declared_type or "application/octet-stream",
                    "size": len(data),
                    **self._until(saving.expires_in),
                }
                self._planned[str(handle["id"])] = data
                self._known[str(handle["id"])] = handle
                return handle
        return await self._keep(saving, data)

    def _until(self, expires_in: int) -> dict[str, str]:
        """What the handle of a dry run says of a file that expires, as if it had been saved at the plan's moment."""
        if not expires_in:
            return {}
        at = datetime.fromisoformat(self._effects.writes.moment("")["at"]) + timedelta(seconds=expires_in)
        return {"expire_time": at.isoformat().replace("+00:00", "Z")}

    async def _check(self, saving: _Saving, data: bytes) -> None:
        for part in (data, saving.name.encode(errors="replace")):
            if key := await self._outlet.holds(part):
                raise BrokerDenied(
                    DenialCode.OUTPUT_HOLDS_SECRET,
                    f"the file holds the secret {key}, and is not saved",
                    "save what was computed, never what an upstream repeats of a request",
                    secret=key,
                )
        if not self._lent.ticket:
            raise _too_much("none: this call has no ticket for stored files")

    async def _keep(self, saving: _Saving, data: bytes) -> Handle:
        await self._check(saving, data)
        if self._tape is None:
            handle = await self._save_door(saving, data)
        else:
            digest = hashlib.sha256(data).hexdigest()
            asked = {"name": saving.name, "type": saving.declared_type, "size": len(data), "sha256": digest}
            asked |= _expiry(saving)
            handle = await self._tape.effect("file", "save", asked, partial(self._save_door, saving, data))
        self._known[str(handle["id"])] = handle
        return dict(handle)

    async def _save_door(self, saving: _Saving, data: bytes) -> Handle:
        try:
            return await self._door.save(self._lent.ticket, saving.name, saving.declared_type, data, saving.expires_in)
        except (InvalidArgument, OutOfRange) as error:
            named = error.reason == DenialCode.FILE_NAME_INVALID
            code = DenialCode.FILE_NAME_INVALID if named else DenialCode.INVALID_ARGUMENT
            raise BrokerDenied(code, error.message, error.fix) from None
        except ResourceExhausted as error:
            known = error.reason in (DenialCode.FILE_QUOTA, DenialCode.FILE_SAVE_LIMIT)
            code = DenialCode(error.reason) if known else DenialCode.FILE_SAVE_LIMIT
            raise BrokerDenied(code, error.message, error.fix, **error.metadata) from None
        except HardpointError as error:
            raise _away(error) from None


def _expiry(saving: _Saving) -> dict[str, int]:
    """What a record says of a file that expires; nothing of others."""
    return {"expires_in": saving.expires_in} if saving.expires_in else {}


def _seconds(expires_in: Any) -> int:
    """In how many seconds a file is to expire; 0 where nothing is asked."""
    if expires_in is None:
        return 0
    if not isinstance(expires_in, int) or isinstance(expires_in, bool) or not 1 <= expires_in <= _LONGEST_SECONDS:
        raise BrokerDenied(
            DenialCode.INVALID_ARGUMENT,
            f"a file expires in 1 to {_LONGEST_SECONDS} seconds, which are 30 days",
            "pass a whole number of seconds, or none",
        )
    return expires_in


def _id(file: Any) -> str:
    found = file.get("id") if isinstance(file, Mapping) else file
    if not isinstance(found, str) or not found or len(found) > _LONGEST_ID:
        raise BrokerDenied(
            DenialCode.INVALID_ARGUMENT, "a stored file is named by its handle", "pass the handle as it came"
        )
    return found


def _not_given(name: str) -> BrokerDenied:
    return BrokerDenied(
        DenialCode.FILE_NOT_GIVEN,
        f"{name} may not be opened: it was not in the input, is not of this call's making, or is gone",
        "declare an input of type file, and pass the file's handle there",
        file=name,
    )


def _too_much(limit: str) -> BrokerDenied:
    return BrokerDenied(
        DenialCode.FILE_SAVE_LIMIT, f"an execution may save at most {limit}", "save less, or fewer files", limit=limit
    )


def _away(error: HardpointError) -> BrokerDenied:
    return BrokerDenied(DenialCode.FILES_UNAVAILABLE, f"stored files: {error.message}", "try again later")
