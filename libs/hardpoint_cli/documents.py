"""Messages of the contracts as JSON documents and as words."""

from datetime import UTC
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from hardpoint_kit.documents import LARGEST_WHOLE


def document(message: Message) -> dict[str, Any]:
    """The message as its contract's JSON, with the field names of the contract and none left out."""
    found = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    whole: dict[str, Any] = _whole(found)
    return whole


def _whole(value: Any) -> Any:
    """The value with 5.0 as 5: a number of a JSON document travels as a double."""
    if isinstance(value, dict):
        return {key: _whole(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_whole(part) for part in value]
    whole = isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST_WHOLE
    return int(value) if whole else value


def word(message: Message, field: str) -> str:
    """The value of an enum field in small letters, without the enum's name before it."""
    enum = message.DESCRIPTOR.fields_by_name[field].enum_type
    assert enum is not None
    name = enum.values_by_number[getattr(message, field)].name
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return str(name.removeprefix(prefix).lower())


def moment(time: Timestamp) -> str:
    """A time in the caller's own zone, to the second; empty when unset."""
    return time.ToDatetime(tzinfo=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S") if time.seconds else ""


def duration(milliseconds: float) -> str:
    """A length of time in the unit that reads best."""
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def size(count: int) -> str:
    """A number of bytes in the unit that reads best."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
