"""Owns the tickets of executions: proof that one may open some files of an org, and save others, for minutes; pure."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from hardpoint_kit.errors import Unauthenticated

GOOD_FOR = timedelta(minutes=10)
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Pass:
    """What a ticket lets its bearer do: open the files with these ids, and save for a run within bounds.

    `subject` is for whom the run is; saved files are counted by `execution`.
    """

    org: str
    subject: str
    run: str
    execution: str
    opens: Sequence[str]
    save_files: int
    save_bytes: int


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket's text, and when it stops being good (UTC)."""

    text: str
    expire_time: datetime


class Tickets:
    """Writes and reads tickets `{what}.{proof}`; nothing is stored, so any replica with the same key reads them."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, granted: Pass, now: datetime) -> Ticket:
        """Write a ticket."""
        expires = int((now + GOOD_FOR).timestamp())
        said = json.dumps({**asdict(granted), "expires": expires}, separators=(",", ":")).encode()
        what = base64.urlsafe_b64encode(said).decode()
        return Ticket(f"{what}.{self._proof(what)}", datetime.fromtimestamp(expires, UTC))

    def read(self, text: str, now: datetime) -> Pass:
        """Return what a ticket grants; raises Unauthenticated TICKET_INVALID."""
        what, _, proof = text.partition(".")
        if not hmac.compare_digest(self._proof(what).encode(), proof.encode()):
            _refuse("is not one of ours")
        try:
            said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(what))
        except (binascii.Error, ValueError):  # pragma: no cover - we wrote it ourselves
            _refuse("is not one of ours")
        if now.timestamp() >= said.pop("expires"):
            _refuse("is too old")
        return Pass(**said)

    def _proof(self, what: str) -> str:
        return hmac.new(self._key, f"hardpoint file ticket\n{what}".encode(), hashlib.sha256).hexdigest()


def _refuse(problem: str) -> NoReturn:
    raise Unauthenticated(
        f"the ticket {problem}", reason="TICKET_INVALID", place="ticket", fix="ask for a new one: CreateFileTicket"
    )
