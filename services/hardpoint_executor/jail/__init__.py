"""Owns the wall around strangers' code: Python and JavaScript run in nsjails and nowhere else.

Read `interface.py` first, then `single_use.py` > `calls.py` > `pool.py` > `nsjail.py` and `conversation.py` >
`frames.py`. What a jail is made of stands in the `.cfg` and `.policy` files.
"""

from .interface import (
    LANGUAGES,
    BrokerDenied,
    ClosedDoor,
    Door,
    Event,
    Frame,
    Jail,
    JailCall,
    Limits,
    Log,
    OnEvent,
    Outcome,
    OutcomeKind,
    Progress,
    Taken,
    ignore,
)
from .pool import PoolOptions
from .single_use import JailOptions, SingleUseJails

__all__ = [
    "LANGUAGES",
    "BrokerDenied",
    "ClosedDoor",
    "Door",
    "Event",
    "Frame",
    "Jail",
    "JailCall",
    "JailOptions",
    "Limits",
    "Log",
    "OnEvent",
    "Outcome",
    "OutcomeKind",
    "PoolOptions",
    "Progress",
    "SingleUseJails",
    "Taken",
    "ignore",
]
