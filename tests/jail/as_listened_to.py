"""Run jails in slots of a process whose system calls somebody listens to already. Prints what came of it as JSON.

Started by test_violations.py in a process of its own, since a filter stays for ever.
"""

import asyncio
import ctypes
import json
import struct

from hardpoint_executor.jail import ClosedDoor, JailOptions, Jails, SlotOptions
from jail.programs import python

ALLOW_ALL = struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000)
SECCOMP, SET_MODE_FILTER, NEW_LISTENER = 317, 1, 8
SET_NO_NEW_PRIVS = 38


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def listen() -> None:
    """Hear of no call, and be the one who could."""
    libc, filter = ctypes.CDLL(None), Program(1, ALLOW_ALL)
    assert libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.syscall(SECCOMP, SET_MODE_FILTER, NEW_LISTENER, ctypes.byref(filter)) > 2


async def main() -> None:
    jails = Jails(JailOptions(languages=("python",), slots=SlotOptions()))
    await jails.start()
    report = {"reasons": jails.reasons_not_ready(), "ended": []}
    for _ in range(2):
        outcome = await jails.run(python("import os; os.setuid(0)"), ClosedDoor())
        report["ended"].append([outcome.kind, outcome.detail, outcome.syscall])
    await jails.stop()
    print(json.dumps(report))


listen()
asyncio.run(main())
