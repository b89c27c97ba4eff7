"""Run jails in slots of a process that has a filter around itself already. Prints what came of it as JSON.

Started by test_violations.py in a process of its own, since a filter stays for ever.
"""

import asyncio
import ctypes
import json
import sys

from hardpoint_executor.jail import ClosedDoor, JailOptions, Jails, SlotOptions
from hardpoint_executor.jail.bpf import compiled
from hardpoint_executor.jail.policy import Action, Policy
from jail.programs import python

CALLS = {"setuid": 105, "ptrace": 101}
FILTERS = {
    "listens": (Policy({0: (Action("ALLOW"), ())}, Action("ALLOW")), 8),
    "refuses ptrace": (Policy({CALLS["ptrace"]: (Action("ERRNO", 1), ())}, Action("ALLOW")), 0),
    "kills for ptrace": (Policy({CALLS["ptrace"]: (Action("KILL_PROCESS"), ())}, Action("ALLOW")), 0),
}
"""Each with its flags; 8 is a new listener."""
SECCOMP, SET_MODE_FILTER, SET_NO_NEW_PRIVS = 317, 1, 38


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def filtered(policy: Policy, flags: int) -> None:
    libc, filter = ctypes.CDLL(None), compiled(policy)
    program = Program(len(filter) // 8, filter)
    assert libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.syscall(SECCOMP, SET_MODE_FILTER, flags, ctypes.byref(program)) >= 0


async def main() -> None:
    jails = Jails(JailOptions(languages=("python",), slots=SlotOptions()))
    await jails.start()
    report = {"reasons": jails.reasons_not_ready(), "ended": {}}
    for name, number in CALLS.items():
        body = f"import ctypes; return ctypes.CDLL(None).syscall({number}, 0, 0, 0, 0)"
        outcome = await jails.run(python(body), ClosedDoor())
        report["ended"][name] = [outcome.kind, outcome.detail, outcome.syscall]
    await jails.stop()
    print(json.dumps(report))


filtered(*FILTERS[sys.argv[1]])
asyncio.run(main())
