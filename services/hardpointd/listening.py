"""Owns the address that a process serves at: one that cannot be taken is said before anything else is started."""

import errno
import socket

from hardpoint_kit.errors import Conflict, InvalidArgument

MOST_PORT = 65535


def address_to_serve(listen: str) -> str:
    """The address as it will be, with a free port in the place of port 0, since units of this process dial it.

    Raises InvalidArgument for what is no host:port, Conflict for a port that is taken or a host that is not ours.
    """
    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or int(port) > MOST_PORT:
        fix = "write it as 127.0.0.1:7700; port 0 takes a free one"
        raise InvalidArgument({"HARDPOINT_LISTEN": f'"{listen}" is not host:port'}, fix=fix)
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        family, _, _, _, place = found[0]
        with socket.create_server(place, family=family) as probe:
            return f"{host}:{probe.getsockname()[1]}"
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why, fix = "the port is taken", "stop what uses the port, or set HARDPOINT_LISTEN to another host:port"
        else:
            why, fix = error.strerror or str(error), "set HARDPOINT_LISTEN to a host:port of this machine"
        raise Conflict(f"cannot listen on {listen}: {why}", fix=fix) from error
