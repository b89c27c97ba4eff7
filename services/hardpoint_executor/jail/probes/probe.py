# mypy: ignore-errors
# ruff: noqa: S108
"""Tries what no plugin may do, from inside a jail, in Python; each name is a wall of ../walls.py, true if it holds."""

import ctypes
import errno
import os
import resource
import socket
import stat
import sys
import threading

from hardpoint_sdk import action, capability

capability(id="probe")

LIBC = ctypes.CDLL(None, use_errno=True)
CALLS = {
    "x86_64": {"clone": 56, "clone3": 435, "io_uring_setup": 425, "memfd_create": 319, "seccomp": 317, "shmget": 29},
}[os.uname().machine]
NEW_USER_NAMESPACE = 0x10000000
SIGCHLD = 17
GET_ACTION_AVAIL = 2
SET_NO_NEW_PRIVS = 38
TIOCSTI = 0x5412
FILTERED = (errno.EPERM, errno.ENOSYS)
MIB = 1 << 20
FAMILIES = {
    "network_ip": (socket.AF_INET, socket.AF_INET6),
    "network_unix": (socket.AF_UNIX,),
    "network_netlink": (socket.AF_NETLINK,),
    "network_packet": (socket.AF_PACKET,),
}


def refused(attempt, *arguments) -> bool:
    try:
        attempt(*arguments)
    except (OSError, ValueError, MemoryError):
        return True
    return False


def barred(name, *arguments) -> bool:
    """Whether the filter stops a system call; a child that it should not have made ends at once."""
    result = LIBC.syscall(CALLS[name], *arguments)
    if name == "clone" and result == 0:
        os._exit(0)
    return result < 0 and ctypes.get_errno() in FILTERED


def forks() -> None:
    if os.fork() == 0:
        os._exit(0)


def network() -> dict[str, bool]:
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET)
    closed = {family: all(refused(socket.socket, family, kind) for kind in kinds) for family in range(46)}
    named = {name: all(closed[family] for family in families) for name, families in FAMILIES.items()}
    ours, theirs = socket.socketpair()
    with ours, theirs:
        passed = refused(socket.send_fds, ours, [b"."], [0])
    return {**named, "network_other": all(closed.values()), "descriptor_passing": passed}


def files() -> dict[str, bool]:
    host = (
        "/root",
        "/home",
        "/boot",
        "/var",
        "/run",
        "/mnt",
        "/etc/shadow",
        "/etc/hostname",
        "/bin/sh",
        "/usr/bin/env",
    )
    there = (".dockerenv", "etc/resolv.conf", "var/run/secrets/kubernetes.io/serviceaccount/token")
    tmp, root = os.statvfs("/tmp"), os.statvfs("/")
    opened = [descriptor for descriptor in range(256) if not refused(os.fstat, descriptor)]
    kinds = [os.fstat(descriptor).st_mode for descriptor in opened]
    with open("/tmp/probe", "w") as program:
        program.write("#!/usr/bin/python3\n")
    return {
        "proc": not os.path.exists("/proc/self"),
        "sys": not os.path.exists("/sys/kernel"),
        "dev": not os.path.exists("/dev/null") and not os.path.exists("/dev/mem"),
        "host_files": not any(map(os.path.exists, (*host, *(f"/{name}" for name in there)))),
        "descriptors": not any(stat.S_ISDIR(mode) or stat.S_ISREG(mode) or stat.S_ISBLK(mode) for mode in kinds),
        "root_folder": bool(root.f_flag & os.ST_RDONLY) and refused(open, "/probe", "w"),
        "sdk_folder": refused(open, "/sdk/probe", "w")
        and refused(open, "/sdk/hardpoint_sdk/boot.py", "a")
        and refused(open, "/layers/needs.json", "a"),
        "layers_folder": bool(os.statvfs("/layers").f_flag & os.ST_RDONLY) and refused(open, "/layers/probe", "w"),
        "tmp_size": tmp.f_blocks * tmp.f_frsize <= 16 * MIB,
        "tmp_files": 0 < tmp.f_files <= 1024,
        "tmp_programs": bool(tmp.f_flag & os.ST_NOEXEC and tmp.f_flag & os.ST_NOSUID and tmp.f_flag & os.ST_NODEV)
        and refused(os.chmod, "/tmp/probe", 0o4755)
        and refused(os.execv, "/tmp/probe", ["/tmp/probe"]),
        "links": refused(os.symlink, "/sdk", "/tmp/link") and refused(os.link, "/tmp/probe", "/tmp/other"),
    }


def identity() -> dict[str, bool]:
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    capabilities = LIBC.capget(ctypes.byref(header), ctypes.byref(sets)) == 0 and not any(sets)
    return {
        "user": {*os.getresuid()} == {65534},
        "groups": {*os.getresgid(), *os.getgroups()} <= {65534},
        "capabilities": capabilities,
        "environment": list(os.environ) == ["LANG"],
        "hostname": os.uname().nodename == "jail",
        "process_ids": os.getpid() == 1 and os.getppid() == 0,
        "input": os.read(0, 1) == b"",
    }


def kernel() -> dict[str, bool]:
    return {
        "fork": refused(forks),
        "processes": refused(os.posix_spawn, sys.executable, [sys.executable, "-V"], {}),
        "new_namespaces": barred("clone", NEW_USER_NAMESPACE | SIGCHLD, 0, 0, 0, 0),
        "clone3": barred("clone3", 0, 0),
        "io_uring": barred("io_uring_setup", 1, 0),
        "memory_programs": barred("memfd_create", ctypes.c_char_p(b"probe"), 0),
        "own_filters": barred("seccomp", GET_ACTION_AVAIL, 0, 0) and LIBC.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0,
        "shared_memory": barred("shmget", 0, 4096, 0o1600),
        "signals": refused(os.kill, -1, 0) and refused(os.kill, 1, 0),
        "terminal": LIBC.ioctl(0, TIOCSTI, ctypes.c_char_p(b"x")) < 0 and ctypes.get_errno() in FILTERED,
    }


def limits() -> dict[str, bool]:
    highest = {
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_NPROC: 64,
        resource.RLIMIT_FSIZE: 16 * MIB,
        resource.RLIMIT_STACK: 8 * MIB,
        resource.RLIMIT_MEMLOCK: 64 * 1024,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_CPU: 3600,
    }
    set_limits = {kind: resource.getrlimit(kind) for kind in highest}
    return {
        "core_dumps": resource.getrlimit(resource.RLIMIT_CORE) == (0, 0),
        "limits": all(0 <= max(set_limits[kind]) <= most for kind, most in highest.items()),
        "limits_raised": refused(resource.setrlimit, resource.RLIMIT_NOFILE, (1024, 1024)),
        "memory": refused(bytearray, 1 << 30),
        "threads": threads_end(),
    }


def threads_end() -> bool:
    """Whether threads cannot be started for ever."""
    stop, started = threading.Event(), []
    threading.stack_size(64 * 1024)
    try:
        for _ in range(100):
            thread = threading.Thread(target=stop.wait)
            thread.start()
            started.append(thread)
    except RuntimeError:
        return True
    finally:
        stop.set()
        threading.stack_size(0)
        for thread in started:
            thread.join()
    return False


@action
async def probe(self, input):
    found = {**network(), **files(), **identity(), **kernel(), **limits()}
    os.umask(input["umask"])
    await self.fetch("https://outside.invalid/")
    return found
