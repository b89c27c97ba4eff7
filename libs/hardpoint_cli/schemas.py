"""JSON Schemas of actions, in a few words."""

from google.protobuf.struct_pb2 import Struct

from hardpoint_kit.documents import from_struct


def signature(schema: Struct) -> str:
    """The properties of an input with their types; a question mark follows those that may be left out."""
    read = from_struct(schema)
    required = read.get("required", [])
    named = [
        f"{name}{'' if name in required else '?'}: {about.get('type', 'any')}"
        for name, about in read.get("properties", {}).items()
    ]
    return ", ".join(named) or ("any" if read.get("additionalProperties", True) else "none")
