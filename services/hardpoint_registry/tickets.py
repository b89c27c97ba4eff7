"""Owns artifact tickets: proof that somebody who sees a release let the bearer read its bytes, for an hour; pure."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from hardpoint_kit.errors import Unauthenticated
from hardpoint_kit.names import is_id

GOOD_FOR = timedelta(hours=1)
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket's text, and when it stops being good (UTC)."""

    text: str
    expire_time: datetime


class Tickets:
    """Writes and reads tickets `{org}.{expiry}.{proof}`; the proof binds both to one digest.

    Nothing is stored, so any replica with the same key reads what another wrote.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, org: str, digest: str, now: datetime) -> Ticket:
        """Write a ticket for the bytes that `org` owns under this digest."""
        expires = int((now + GOOD_FOR).timestamp())
        text = f"{org}.{expires}.{self._proof(org, expires, digest)}"
        return Ticket(text, datetime.fromtimestamp(expires, UTC))

    def owner(self, ticket: str, digest: str, now: datetime) -> str:
        """Return the org whose bytes the ticket is for; raises Unauthenticated TICKET_INVALID."""
        org, _, rest = ticket.partition(".")
        expires, _, proof = rest.partition(".")
        if not is_id(org) or not (expires.isascii() and expires.isdigit() and len(expires) <= 12):
            _refuse("is not one of ours")
        if not hmac.compare_digest(self._proof(org, int(expires), digest).encode(), proof.encode()):
            _refuse("is not for these bytes")
        if now.timestamp() >= int(expires):
            _refuse("is too old")
        return org

    def _proof(self, org: str, expires: int, digest: str) -> str:
        said = f"hardpoint artifact ticket\n{org}\n{expires}\n{digest}"
        return hmac.new(self._key, said.encode(), hashlib.sha256).hexdigest()


def _refuse(problem: str) -> NoReturn:
    raise Unauthenticated(
        f"the ticket {problem}", reason="TICKET_INVALID", place="ticket", fix="ask for a new one: CreateArtifactTicket"
    )
