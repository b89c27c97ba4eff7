"""Services of the organisation that code asks for by permission: its database, its model, its mail, its calendar.

What they need is nobody's to write down: a permission for one makes its settings and secrets requirements of the
release, where the document does not declare them itself. None has to be set before the capability is used, since code
may ask for a permission that it seldom needs; an effect that finds nothing set says what to set.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from hardpoint_manifest.model import ASKED_SERVICES, Requirement


@dataclass(frozen=True, slots=True)
class Need:
    """A setting or a secret of a service."""

    key: str
    type: Literal["secret", "string"]
    label: str
    description: str


_DATABASE: Final = (
    Need("DATABASE_URL", "secret", "Database", "postgresql://user:password@host:5432/database"),
    Need("DATABASE_TABLES", "string", "Tables", "Tables that may be used: customers, sales.orders; * for all"),
)
_MODEL: Final = (
    Need("AI_URL", "string", "Model endpoint", "Speaks as OpenAI does: https://api.openai.com/v1"),
    Need("AI_KEY", "secret", "Model key", "Sent to the host of AI_URL alone"),
)
_CHAT: Final = (*_MODEL, Need("AI_MODEL", "string", "Model", "What the endpoint calls it"))
_MAIL: Final = (
    Need("SMTP_URL", "secret", "Mail server", "smtp://user:password@host:587, or smtps:// for TLS from the start"),
    Need("EMAIL_FROM", "string", "Sender", "Ada <ada@example.com>"),
    Need("IMAP_URL", "secret", "Mailbox", "imaps://user:password@host:993; where it is set, its mails can be read"),
)
_CALENDAR: Final = (
    Need("CALDAV_URL", "secret", "Calendars", "https://user:password@host/path/, the path where the calendars are"),
)

NEEDS: Final = MappingProxyType(
    {
        "data.read": _DATABASE,
        "data.write": _DATABASE,
        "data.delete": _DATABASE,
        "ai.call": _CHAT,
        "ai.vision": _CHAT,
        "ai.embedding": (
            *_MODEL,
            Need("AI_EMBEDDING_MODEL", "string", "Embedding model", "What the endpoint calls it"),
        ),
        "integration.email": _MAIL,
        "integration.calendar": _CALENDAR,
    }
)
"""What each permission needs."""


def derived(permissions: Collection[str], declared: Collection[str]) -> Iterator[Requirement]:
    """The requirements of these permissions that the document does not declare; a secret goes to no host by `fetch`."""
    needs = {need.key: need for permission in permissions for need in NEEDS.get(permission, ())}
    for need in needs.values():
        if need.key not in declared:
            yield Requirement(
                key=need.key,
                label=need.label,
                type=need.type,
                description=need.description,
                pointer=ASKED_SERVICES,
            )
