"""Owns the check of a request's fields: the rules of its proto, and that its texts can be stored."""

from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from protovalidate import Validator, Violation

from hardpoint_kit.errors import InvalidArgument


class FieldCheck:
    """Checks messages against the field rules of their protos."""

    def __init__(self) -> None:
        self._validator = Validator()

    def check(self, message: Message) -> None:
        """Raise InvalidArgument with every violation by field path."""
        violations = self._validator.collect_violations(message)
        if violations:
            raise InvalidArgument({_path(violation): violation.proto.message for violation in violations})
        if b"\0" in message.SerializeToString() and (place := _zero_character(message)):
            raise InvalidArgument({place: "holds a zero character, which no text may"}, fix="remove it")


def _zero_character(message: Message) -> str:
    """The first text field of a message or of those inside it that holds a zero character: no database keeps one.

    Documents (Struct, Value) are left to those who store them: what is only passed on may hold any text.
    """
    texts = _texts(message.DESCRIPTOR)
    for field, value in message.ListFields():
        if field.name not in texts:
            continue
        items = [value] if not field.is_repeated else value.values() if hasattr(value, "values") else value
        for item in items:
            if isinstance(item, str):
                if "\0" in item:
                    return str(field.name)
            elif inner := _zero_character(item):
                return f"{field.name}.{inner}"
    return ""


@cache
def _texts(descriptor: Descriptor) -> frozenset[str]:
    """The fields of a message that are texts, or messages of ours that may hold some."""
    return frozenset(field.name for field in descriptor.fields if _may_hold_text(field))


def _may_hold_text(field: FieldDescriptor) -> bool:
    held = field.message_type
    if held is not None and held.GetOptions().map_entry:
        return _may_hold_text(held.fields_by_name["value"])
    if held is not None:
        return not held.full_name.startswith("google.protobuf.")
    return field.type == FieldDescriptor.TYPE_STRING


def _path(violation: Violation) -> str:
    path = ""
    for element in violation.proto.field.elements if violation.proto.field else ():
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None:
            path += f"[{element.subscript.value}]"
    return path
