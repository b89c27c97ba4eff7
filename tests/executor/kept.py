"""Stored files in memory, in the place of the unit that keeps them."""

from collections.abc import Mapping
from typing import Any

from hardpoint_executor.domain import Lent
from hardpoint_kit.errors import NotFound

TICKET = "ticket-of-this-execution"
UNTIL = "2030-01-31T08:00:00Z"


class Kept:
    """A door to files; `files` are those that the ticket opens."""

    def __init__(self, **files: bytes) -> None:
        self.files = {f"orgs/acme/files/{name}": data for name, data in files.items()}
        self.opened: list[tuple[str, int, int]] = []
        self.expiring: dict[str, int] = {}
        """In how many seconds."""
        self.saved: dict[str, tuple[str, str, bytes]] = {}

    def lent(self) -> Lent:
        """What came with the call."""
        return Lent(TICKET, tuple(self._handle(name) for name in self.files))

    async def open(self, ticket: str, file: str, offset: int, length: int) -> tuple[bytes, int]:
        assert ticket == TICKET
        self.opened.append((file, offset, length))
        if file not in self.files:
            raise NotFound("file", file)
        data = self.files[file]
        return data[offset : offset + length] if length else data[offset:], len(data)

    async def save(self, ticket: str, name: str, declared_type: str, data: bytes, expires_in: int) -> Mapping[str, Any]:
        assert ticket == TICKET
        file = f"orgs/acme/files/saved{len(self.saved)}"
        self.saved[file] = (name, declared_type, data)
        self.files[file] = data
        if not expires_in:
            return {**self._handle(file), "name": name}
        self.expiring[file] = expires_in
        return {**self._handle(file), "name": name, "expire_time": UNTIL}

    def _handle(self, file: str) -> Mapping[str, Any]:
        return {"id": file, "name": file.rpartition("/")[2], "type": "text/plain", "size": len(self.files[file])}
