"""What is known of a value before it exists: its type, and what is in it.

It is the same knowledge whether it comes from parameters, from a JSON Schema or from a template that will make the
value. Little is claimed: `any` fits everywhere.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from hardpoint_manifest.model import FILE_SCHEMA, JsonSchema, Parameter

_TYPES: Final = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_FITTING: Final = frozenset({("integer", "number"), ("number", "integer"), ("file", "object"), ("object", "file")})
MOST_NAMES: Final = 500
"""How many names a scope may hold; what is beyond is only known as a part of what it is in."""
_DEEPEST: Final = 5


@dataclass(frozen=True, slots=True)
class Known:
    """A value's parameter type; of an object its members, and whether there are no others; of a list its items.

    An optional value may not be there at all.
    """

    type: str = "any"
    members: Mapping[str, "Known"] = field(default_factory=dict)
    closed: bool = False
    item: "Known | None" = None
    optional: bool = False

    @classmethod
    def parameter(cls, parameter: Parameter) -> "Known":
        """What a parameter says of its value."""
        optional = not parameter.required and parameter.default is None
        if parameter.type == "file":
            return replace(_FILE, optional=optional)
        if parameter.properties:
            return replace(cls.parameters(parameter.properties), optional=optional)
        item = cls.parameter(parameter.items) if parameter.items is not None else None
        return cls(parameter.type, item=item, optional=optional)

    @classmethod
    def parameters(cls, parameters: Iterable[Parameter]) -> "Known":
        """What an object of these members is; of none an object that may hold anything."""
        members = {parameter.name: cls.parameter(parameter) for parameter in parameters}
        return cls("object", members, closed=bool(members))

    @classmethod
    def schema(cls, schema: JsonSchema | Any) -> "Known":
        """What a JSON Schema says of its value, as far as that is plain."""
        if not isinstance(schema, Mapping):
            return cls()
        kind = schema.get("type")
        if not isinstance(kind, str) or kind not in _TYPES:
            return cls()
        properties, required, items = (schema.get(key) for key in ("properties", "required", "items"))
        members = {}
        if kind == "object" and isinstance(properties, Mapping):
            sure = required if isinstance(required, list) else []
            members = {
                str(name): replace(cls.schema(part), optional=name not in sure) for name, part in properties.items()
            }
        closed = kind == "object" and bool(members) and schema.get("additionalProperties") is False
        closed = closed and not schema.get("patternProperties")
        return cls(kind, members, closed, cls.schema(items) if kind == "array" and items is not None else None)

    @classmethod
    def literal(cls, value: Any) -> "Known":
        """What a value that is neither a list nor an object is."""
        kinds = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
        return cls(kinds.get(type(value), "any"))

    def at(self, parts: Iterable[str | int]) -> "Known":
        """What is known of the value at a path below this one."""
        known = self
        for part in parts:
            known = known.item or Known() if isinstance(part, int) else known.members.get(part, Known())
        return known

    def fits(self, wanted: "Known") -> bool:
        """Whether a value of this may stand where the other is wanted, members aside."""
        return "any" in (self.type, wanted.type) or self.type == wanted.type or (self.type, wanted.type) in _FITTING


_ALWAYS: Final = [name for name in FILE_SCHEMA["properties"] if name != "expire_time"]
"""What is said of every file that comes from the platform."""
_FILE: Final = replace(Known.schema({**FILE_SCHEMA, "required": _ALWAYS}), type="file")


def named(names: Mapping[str, Known]) -> Iterator[tuple[str, Known]]:
    """All names by which something is known, dotted, the outer ones first."""
    waiting = list(names.items())
    count = 0
    for depth in range(_DEEPEST):
        inner: list[tuple[str, Known]] = []
        for name, known in waiting:
            count += 1 + len(known.members)
            whole = count <= MOST_NAMES and depth < _DEEPEST - 1 and not any("." in member for member in known.members)
            yield name, known if whole else replace(known, closed=False)
            if whole:
                inner += [(f"{name}.{member}", part) for member, part in known.members.items()]
        waiting = inner
