"""Stands in for the internet's names in the processes that the system tests start, which load it at their start.

`inside.rebind.test` has a loopback address, `mixed.rebind.test` a public one and after it a loopback one.
"""

import socket

_ADDRESSES = {"inside.rebind.test.": ["127.0.0.1"], "mixed.rebind.test.": ["8.8.8.8", "127.0.0.1"]}
_getaddrinfo = socket.getaddrinfo


def getaddrinfo(host, port, *arguments, **named):
    if host in _ADDRESSES:
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, (address, port)) for address in _ADDRESSES[host]]
    return _getaddrinfo(host, port, *arguments, **named)


socket.getaddrinfo = getaddrinfo
