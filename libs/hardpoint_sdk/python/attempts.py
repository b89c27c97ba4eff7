"""Owns telling the executor what code tries that no jail has: files outside the root, other hosts, other processes.

Nothing here is a wall: plugin code can reach all of it, and silence it. It is for the security log, by name.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any

from . import channel

_MOST = 32
_MOST_CHARACTERS = 300
_FAMILIES = {1: "AF_UNIX", 2: "AF_INET", 10: "AF_INET6", 16: "AF_NETLINK", 17: "AF_PACKET"}

_INSIDE = tuple(f"/{name}/" for name in os.listdir("/") if name != "etc")
"""What is in the jail's root, but for /etc, where there is one file."""


def watch() -> None:
    """Tell of attempts from now on, for as long as this process lives; each once, and not more than a few."""
    told: set[tuple[str, str]] = set()

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _TARGETS:
            return
        with contextlib.suppress(Exception):  # it would become the error of what code did
            target = _TARGETS[event](*arguments)
            if target is not None and (event, target) not in told and len(told) < _MOST:
                told.add((event, target))
                readable = target[:_MOST_CHARACTERS].encode(errors="replace").decode()
                channel.send({"attempt": {"name": event, "target": readable}})

    sys.addaudithook(hear)


def _outside(path: Any, *_: Any) -> str | None:
    """A path that leads to nothing that the jail has; None for any other, and for descriptors."""
    if not isinstance(path, str | bytes):
        return None
    full = os.path.abspath(os.fsdecode(path))
    return None if f"{full}/".startswith(_INSIDE) or full == "/" else full


def _host(host: Any, port: Any = None, *_: Any) -> str:
    return f"{host}:{port}" if port else str(host)


def _address(_socket: Any, address: Any) -> str:
    return _host(*address) if isinstance(address, tuple) else os.fsdecode(address)


def _family(_socket: Any, family: int, *_: Any) -> str | None:
    """The family of a socket that is asked of the kernel; None for one that wraps a descriptor, as of a pair."""
    maker = sys._getframe(2)
    return _FAMILIES.get(family, str(family)) if maker.f_locals.get("fileno") is None else None


def _program(program: Any = "", *_: Any) -> str:
    return os.fsdecode(program) if isinstance(program, str | bytes) else ""


_TARGETS: dict[str, Callable[..., str | None]] = {
    **dict.fromkeys(["open", "os.listdir", "os.scandir", "os.chmod", "os.chown", "os.utime", "os.truncate"], _outside),
    **dict.fromkeys(["os.link", "os.symlink", "os.mkdir", "os.rmdir", "os.remove", "os.rename"], _outside),
    **dict.fromkeys(["socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"], _host),
    **dict.fromkeys(["socket.connect", "socket.bind", "socket.sendto"], _address),
    **dict.fromkeys(["os.exec", "os.posix_spawn", "os.system", "subprocess.Popen"], _program),
    **dict.fromkeys(["os.fork", "os.forkpty", "os.kill", "os.killpg"], _program),
    "socket.__new__": _family,
}
"""What Python's audit events say of each: https://docs.python.org/3/library/audit_events.html."""
