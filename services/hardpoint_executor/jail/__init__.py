"""Owns the wall around strangers' code: Python and JavaScript run in nsjails and nowhere else.

Read `interface.py` first, then `jails.py` > `calls.py` > `conversation.py` > `frames.py`. Below `calls.py` are two
tiers: `pool.py` > `single_use.py`, an nsjail for every call, and `slots.py` > `slot.py`, a child of one that stays.
Both stand on `supply.py` > `line.py` > `fair_queue.py`, where calls wait, and on `launch.py` > `nsjail.py`. What a jail
is made of stands in the `.cfg` and `.policy` files. The policies are compiled by nsjail, and for the children of slots
by `filters.py` > `policy.py`, `bpf.py`.
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
    Together,
    ignore,
)
from .jails import JailOptions, Jails
from .pool import PoolOptions
from .slots import SlotOptions

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
    "Jails",
    "Limits",
    "Log",
    "OnEvent",
    "Outcome",
    "OutcomeKind",
    "PoolOptions",
    "Progress",
    "SlotOptions",
    "Taken",
    "Together",
    "ignore",
]
