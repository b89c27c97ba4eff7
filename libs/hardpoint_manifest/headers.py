"""Owns which headers of a delivery come to the runtime: signatures, and what senders say of the event.

Nothing of what a proxy adds, and no credential of anybody's.
"""

import re
from typing import Final

SENDERS: Final = (
    "x-..., webhook-..., or ending in -signature, -timestamp, -delivery, -delivery-id, -message-id, -event-id"
)
"""Their names as people read them."""

_SENDERS: Final = re.compile(
    r"x-(?!forwarded-|real-ip|request-id|envoy-)[a-z0-9-]{1,80}|webhook-[a-z]{1,20}"
    r"|[a-z0-9-]{1,80}-(?:signature|timestamp|delivery|(?:delivery|message|event)-id)",
    re.ASCII,
)


def is_senders(name: str) -> bool:
    """Whether senders sign in a header of this name, in small letters, or say there when, or what they deliver."""
    return _SENDERS.fullmatch(name) is not None
