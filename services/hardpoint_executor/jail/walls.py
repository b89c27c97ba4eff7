"""Owns the list of walls around a jail: what it means that one is down, and what to do about it.

The probes in probes/ try most of them from inside, selftest.py looks at the rest from outside.
"""

from collections.abc import Mapping
from dataclasses import dataclass

_SECCOMP = "run the executor on a Linux kernel that applies seccomp filters (CONFIG_SECCOMP_FILTER), not an emulation"
_NAMESPACES = "let the executor make user namespaces: see the checks of this machine above"
_MOUNTS = "do not mount anything of the host where jails have their root folders, and remove those to build them anew"
_NETWORK = f"stop serving: plugins reach the network past the broker. {_SECCOMP}"
_LIMITS = "let the executor set the limits of its children: no limit of its own (ulimit) may be below what a jail needs"
_OURS = "install hardpoint again: what is jailed is not what this release ships"
_EXECUTOR = "report it with the executor's log: the jail holds, its watch does not"


@dataclass(frozen=True, slots=True)
class Wall:
    """A wall: what it means that it is down, and what to do."""

    meaning: str
    fix: str


WALLS: Mapping[str, Wall] = {
    # Tried by a plugin.
    "network_ip": Wall("an internet socket can be opened", _NETWORK),
    "network_unix": Wall("a socket of the machine can be opened by path or name", _NETWORK),
    "network_netlink": Wall("the kernel can be asked by netlink", _NETWORK),
    "network_packet": Wall("packets can be sent past the protocols", _NETWORK),
    "network_other": Wall("a socket of some other family, or a raw one, can be opened", _NETWORK),
    "descriptor_passing": Wall("open files can be handed to another process", _SECCOMP),
    "proc": Wall("/proc can be seen", _MOUNTS),
    "sys": Wall("/sys can be seen", _MOUNTS),
    "dev": Wall("devices can be seen", _MOUNTS),
    "host_files": Wall("files of the machine can be seen", _MOUNTS),
    "descriptors": Wall("a file or folder of the executor is open in the jail", _OURS),
    "root_folder": Wall("the root folder can be written to, and every later call would see it", _MOUNTS),
    "sdk_folder": Wall("what every plugin imports can be written to", _MOUNTS),
    "layers_folder": Wall("the libraries of plugins can be written to", _MOUNTS),
    "tmp_size": Wall("its temporary folder is larger than 16 MiB", _MOUNTS),
    "tmp_files": Wall("its temporary folder takes more than 1024 files", _MOUNTS),
    "tmp_programs": Wall("a program that a plugin wrote can be started", _MOUNTS),
    "links": Wall("links can be made", _SECCOMP),
    "user": Wall("the plugin is not the unprivileged user", _NAMESPACES),
    "groups": Wall("the plugin is in a group of the machine", _NAMESPACES),
    "capabilities": Wall("the plugin has capabilities", _NAMESPACES),
    "environment": Wall("the environment holds more than LANG", _OURS),
    "hostname": Wall("the plugin sees the machine's name", _NAMESPACES),
    "process_ids": Wall("the plugin does not live in a process namespace of its own", _NAMESPACES),
    "input": Wall("there is something to read on standard input", _OURS),
    "fork": Wall("a process can be forked", _SECCOMP),
    "processes": Wall("a program can be started", _SECCOMP),
    "new_namespaces": Wall("a namespace can be made inside", _SECCOMP),
    "clone3": Wall("clone3, whose flags no filter can read, is there", _SECCOMP),
    "io_uring": Wall("io_uring, which acts past the filter, is there", _SECCOMP),
    "memory_programs": Wall("a program can be put together in memory (memfd)", _SECCOMP),
    "own_filters": Wall("the plugin can change its own seccomp filter or flags", _SECCOMP),
    "shared_memory": Wall("shared memory can be made", _SECCOMP),
    "signals": Wall("signals can be sent to processes", _SECCOMP),
    "terminal": Wall("input can be pushed into a terminal", _SECCOMP),
    "priority": Wall("the plugin can put itself before others", _SECCOMP),
    "core_dumps": Wall("a crash would write its memory to the disk", _LIMITS),
    "limits": Wall("limits of open files, threads, file size or CPU time are not set", _LIMITS),
    "limits_raised": Wall("the plugin can raise its own limits", _SECCOMP),
    "memory": Wall("a plugin gets a gibibyte of memory, past its limit", _LIMITS),
    "threads": Wall("threads can be started without end", _LIMITS),
    "engine": Wall("QuickJS offers modules, files or processes", _OURS),
    # Seen from outside while a plugin waits.
    "seccomp": Wall("no seccomp filter is around the plugin", _SECCOMP),
    "no_new_privs": Wall("a set-user-id program would give the plugin rights", _OURS),
    "no_capabilities": Wall("the plugin could have capabilities, now or later", _OURS),
    "outside_user": Wall("the plugin is the executor's own user, or root, to the machine", _NAMESPACES),
    "namespaces": Wall("the plugin shares a namespace with the executor", _NAMESPACES),
    # How a plugin ends that does what it must not.
    "violation": Wall("a forbidden system call does not end the plugin", _SECCOMP),
    "deadline": Wall("a plugin that does not end is not ended", _EXECUTOR),
    "output": Wall("a plugin that prints without end is not ended", _EXECUTOR),
}

_FORBIDDEN = (
    "ptrace", "process_vm_readv", "mount", "unshare", "setns", "chroot", "setuid", "keyctl", "bpf", "perf_event_open",
    "userfaultfd", "init_module", "sethostname", "clock_settime",
)  # fmt: skip
FORBIDDEN: Mapping[str, Mapping[str, Wall]] = {
    "python": {f"call_{name}": Wall(f"{name} does not end the plugin", _SECCOMP) for name in _FORBIDDEN},
    "node": {},
}
"""System calls that end whoever makes them, each of which takes a jail of its own to try."""

_NOT_IN_NODE = {
    "network_netlink", "network_packet", "network_other", "descriptor_passing", "layers_folder", "capabilities", "fork",
    "new_namespaces", "clone3", "io_uring", "memory_programs", "own_filters", "shared_memory", "terminal",
    "limits_raised", "threads", "engine",
}  # fmt: skip
OF_ENGINE: Mapping[str, Mapping[str, Wall]] = {
    "python": {name: wall for name, wall in WALLS.items() if name not in ("priority", "engine")},
    "node": {name: wall for name, wall in WALLS.items() if name not in _NOT_IN_NODE},
}
"""The walls that are tried at every start; Node offers no way to try some of them."""
