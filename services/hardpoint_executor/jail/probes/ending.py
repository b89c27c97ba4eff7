# mypy: ignore-errors
# ruff: noqa: ARG001
"""Does what ends a plugin, in Python: it has no use for what takes long to load."""

import os

from hardpoint_sdk import action, capability

capability(id="ending")

CALLS = {
    "x86_64": {
        "bpf": 321,
        "chroot": 161,
        "clock_settime": 227,
        "init_module": 175,
        "keyctl": 250,
        "mount": 165,
        "perf_event_open": 298,
        "process_vm_readv": 310,
        "ptrace": 101,
        "sethostname": 170,
        "setns": 308,
        "setuid": 105,
        "unshare": 272,
        "userfaultfd": 323,
    },
}[os.uname().machine]


@action
async def forbidden(self, input):
    import ctypes

    ctypes.CDLL(None).syscall(CALLS[input["call"]], 0, 0, 0, 0, 0)
    return "it came back"


@action
async def spin(self, input):
    while True:
        pass


@action
async def flood(self, input):
    while True:
        os.write(1, b"x" * 1000)
