"""Owns what a fuzzer feeds, each with an oracle that does not share its code: frames of a jail, URLs of a plugin."""

import ipaddress
import json
import math
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx

from hardpoint_executor.broker.denial import BrokerDenied
from hardpoint_executor.broker.policy import FetchPolicy, check_headers, parse_url
from hardpoint_executor.jail import frames

GRANTED = {("api.example.com", 443), ("files.example.com", 8443), ("plain.example.com", 80)}
GRANTED_SUFFIX = ".good.org"
POLICY = FetchPolicy(
    frozenset({"network.http.get"}),
    frozenset({"api.example.com", "files.example.com:8443", "plain.example.com:80", "*.good.org"}),
)


def a_frame(data: bytes) -> None:
    """Bytes are refused by name, or hold what the rules of frames promise and what any JSON reader finds in them."""
    try:
        key, value = frames.parse(data)
    except frames.ProtocolError:
        return
    _check_value(value)
    assert json.loads(data) == {key: value}
    assert frames.parse(frames.encode({key: value})[4:]) == (key, value)


def _check_value(value: Any) -> None:
    level, depth = [value], 1
    while level:
        assert depth <= frames.DEPTH
        for item in level:
            assert not isinstance(item, float) or math.isfinite(item)
            assert not isinstance(item, int) or abs(item) < 10**frames.INT_DIGITS
            for text in [item] if isinstance(item, str) else item if isinstance(item, dict) else ():
                text.encode()
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        depth += 1


def _check_message(message: str) -> None:
    assert message.isprintable()


def a_url(data: bytes) -> None:
    """A URL is denied, or every other reader finds the same granted name in it, which is no address in any spelling."""
    url = data.decode("utf-8", errors="surrogateescape")
    try:
        target = POLICY.target(url)
    except BrokerDenied as denied:
        _check_message(denied.message)
        return
    read = urlsplit(url)
    port = read.port or {"http": 80, "https": 443}[read.scheme]
    assert (read.scheme, read.hostname, port) == (target.scheme, target.host, target.port)
    assert read.username is None
    assert read.password is None
    assert (target.host, port) in GRANTED or (target.host.endswith(GRANTED_SUFFIX) and port == 443)
    assert not target.host.startswith(".")
    for as_address in (ipaddress.ip_address, socket.inet_aton):
        try:
            as_address(target.host)
        except (ValueError, OSError):
            continue
        raise AssertionError(f"{target.host} is an address")
    sent = httpx.URL(target.url)
    assert (sent.scheme, sent.host, sent.port or {"http": 80, "https": 443}[sent.scheme]) == (
        target.scheme,
        target.host,
        port,
    )
    assert parse_url(target.url) == target
    assert all(0x20 < ord(letter) < 0x7F for letter in target.path)
    assert target.path.startswith("/")


def some_headers(data: bytes) -> None:
    """Headers, one a line, are denied, or each is a name and a value that stay on a line of their own."""
    lines = [line.partition(b"\x00") for line in data.split(b"\x01")]
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, _, value in lines}
    try:
        check_headers(headers)
    except BrokerDenied as denied:
        _check_message(denied.message)
        return
    wire = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    read = [line.split(": ", 1) for line in wire.split("\r\n")[:-1]]
    assert dict(read) == headers
    assert not {name.lower() for name in headers} & {"host", "content-length", "transfer-encoding", "connection"}
    assert all(letter.isprintable() or letter == "\t" for letter in "".join(headers.values()))


TARGETS: dict[str, Callable[[bytes], None]] = {"frames": a_frame, "urls": a_url, "headers": some_headers}
