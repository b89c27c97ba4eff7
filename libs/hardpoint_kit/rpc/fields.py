"""Owns the check of a request's fields: the rules of its proto, and that its texts can be stored."""

from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from protovalidate import Validator, Violation

from hardpoint_kit.errors import InvalidArgument
from hardpoint_kit.names import ID, ID_HELP

_PLAIN_ID = ID.replace("?:", "")
_ID_PATTERNS = (f" `^{_PLAIN_ID}$`", f" `^({_PLAIN_ID})?$`")


class FieldCheck:
    """Checks messages against the field rules of their protos."""

    def __init__(self) -> None:
        self._validator = Validator()

    def check(self, message: Message) -> None:
        """Raise InvalidArgument with every violation by field path."""
        violations = self._validator.collect_violations(message)
        if violations:
            raise InvalidArgument({_path(violation): _said(violation) for violation in violations})
        if b"\0" in message.SerializeToString() and (place := _zero_character(message)):
            raise InvalidArgument({place: "holds a zero character, which no text may"}, fix="remove it")


def _zero_character(message: Message) -> str:
    """The first text field of a message or of those inside it that holds a zero character: no database keeps one.

    Documents (Struct, Value) are left to those who store them: what is only passed on may hold any text.
    """
    for name, many, is_text in _texts(message.DESCRIPTOR):
        if not (many or is_text or message.HasField(name)):
            continue
        value = getattr(message, name)
        for item in (value.values() if hasattr(value, "values") else value) if many else (value,):
            if is_text:
                if "\0" in item:
                    return name
            elif inner := _zero_character(item):
                return f"{name}.{inner}"
    return ""


@cache
def _texts(descriptor: Descriptor) -> tuple[tuple[str, bool, bool], ...]:
    """The fields of a message that may hold text: name, whether there are many, whether text or a message of ours."""
    fields = ((field, _held(field)) for field in descriptor.fields)
    return tuple((field.name, bool(field.is_repeated), held == "text") for field, held in fields if held)


def _held(field: FieldDescriptor) -> str:
    inner = field.message_type
    if inner is None:
        return "text" if field.type == FieldDescriptor.TYPE_STRING else ""
    if inner.GetOptions().map_entry:
        return _held(inner.fields_by_name["value"])
    return "" if inner.full_name.startswith("google.protobuf.") else "message"


def _said(violation: Violation) -> str:
    """What is wrong, in words; a pattern says nothing to people: of fields beside ids, protos have words."""
    message: str = violation.proto.message
    return ID_HELP if message.endswith(_ID_PATTERNS) else message


def _path(violation: Violation) -> str:
    path = ""
    for element in violation.proto.field.elements if violation.proto.field else ():
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None:
            path += f"[{element.subscript.value}]"
    return path
