"""JSON Schemas of actions, in a few words."""

from google.protobuf.struct_pb2 import Struct

from hardpoint_kit.documents import from_struct


def signature(schema: Struct) -> str:
    """The properties of an input with their types; a question mark follows those that may be left out."""
    read = from_struct(schema)
    required = read.get("required", [])
    properties = sorted(read.get("properties", {}).items(), key=lambda item: (item[0] not in required, item[0]))
    named = [f"{name}{'' if name in required else '?'}: {about.get('type', 'any')}" for name, about in properties]
    return ", ".join(named) or ("any" if read.get("additionalProperties", True) else "none")
