"""The temporary files of one execution: kept outside the jail, within bounds, gone with the execution.

They are in memory: a few megabytes for some seconds. A name is the plugin's own and means nothing elsewhere, so it
cannot lead to another execution's file, or to one of the machine.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final

from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.limits import BrokerLimits

PERMISSION: Final = "file.temporary"
MOST_READ: Final = 512 * 1024
"""Bytes of one read."""

_MOST_COUNT: Final = 2**53
"""More is no place in any file, and fits into no message to those who keep them."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Files:
    """Files by name."""

    def __init__(self, limits: BrokerLimits) -> None:
        self._limits = limits
        self._files: dict[str, bytes] = {}

    def ask(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """Answer the service `file` with a JSON value; raises BrokerDenied."""
        match method:
            case "list":
                return [self.described(name) for name in sorted(self._files)]
            case "write":
                name, data = _name(arguments), data_of(arguments)
                kept = self._files.get(name, b"") if arguments.get("append") is True else b""
                self.keep(name, kept + data)
                return self.described(name)
            case "read":
                data = self.content(_name(arguments))
                offset, length = count_of(arguments, "offset", 0), count_of(arguments, "length", MOST_READ)
                part = data[offset : offset + min(length, MOST_READ)]
                return {"data": base64.b64encode(part).decode(), "size": len(data)}
            case "size":
                return len(self.content(_name(arguments)))
            case "delete":
                self.content(_name(arguments))
                del self._files[_name(arguments)]
                return None
            case _:
                raise BrokerDenied(
                    DenialCode.SERVICE_UNKNOWN,
                    f"files have no method {method[:40]!r}",
                    "use write, read, list, size or delete; open and save are for stored files",
                )

    def room(self, name: str) -> int:
        """Bytes that a file of this name may have."""
        if not _NAME.fullmatch(name):
            raise _bad_name()
        others = [data for other, data in self._files.items() if other != name]
        if len(others) >= self._limits.files:
            raise _too_much(f"{self._limits.files} files")
        return self._limits.file_bytes - sum(map(len, others))

    def keep(self, name: str, data: bytes) -> None:
        """Write a file, in place of one of that name."""
        if len(data) > self.room(name):
            raise _too_much(f"{self._limits.file_bytes} bytes")
        self._files[name] = data

    def content(self, name: str) -> bytes:
        """The bytes of a file."""
        if name not in self._files:
            raise BrokerDenied(
                DenialCode.FILE_NOT_FOUND,
                f"there is no temporary file {name[:100]!r}",
                "write it first: files live as long as one execution",
                file=name[:100],
            )
        return self._files[name]

    def described(self, name: str) -> dict[str, Any]:
        """Name and size in bytes."""
        return {"name": name, "size": len(self._files[name])}


def _name(arguments: Mapping[str, Any]) -> str:
    name = arguments.get("name")
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise _bad_name()
    return name


def data_of(arguments: Mapping[str, Any]) -> bytes:
    """The bytes that jailed code sends, as text or in base64."""
    data, encoding = arguments.get("data"), arguments.get("encoding", "utf-8")
    try:
        if isinstance(data, str) and encoding in ("utf-8", "base64"):
            return base64.b64decode(data, validate=True) if encoding == "base64" else data.encode()
    except (binascii.Error, UnicodeEncodeError):
        pass
    raise BrokerDenied(DenialCode.INVALID_ARGUMENT, "the data of a file is text or bytes", "pass text or bytes")


def count_of(arguments: Mapping[str, Any], key: str, default: int) -> int:
    """A number of bytes that jailed code sends."""
    value = arguments.get(key)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST_COUNT:
        raise BrokerDenied(DenialCode.INVALID_ARGUMENT, f"{key} is a number of bytes", "use 0 or more")
    return value


def _bad_name() -> BrokerDenied:
    return BrokerDenied(
        DenialCode.INVALID_ARGUMENT,
        "the name of a file begins with a letter or a digit; dots, hyphens and underscores may follow; at most 100",
        'use a name such as "report.csv"',
    )


def _too_much(limit: str) -> BrokerDenied:
    return BrokerDenied(
        DenialCode.FILE_LIMIT,
        f"the temporary files of an execution are at most {limit}",
        "delete a file that is no longer needed, or keep less",
        limit=limit,
    )
