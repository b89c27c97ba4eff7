"""The names that an expression may use, and what is known of their types before anything runs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from hardpoint_manifest.known import Known, named
from hardpoint_manifest.model import Action, Parameter, Requirement
from hardpoint_manifest.names import CEL_WORDS


@dataclass(frozen=True, slots=True)
class Scope:
    """Dotted names and their parameter types, such as `input.location: string`.

    `aliases` are short names of longer ones (`channel` for `input.channel`), `optional` those that may have no value,
    `secrets` those that only the broker may fill in, `closed` the names whose members are all known.
    """

    types: Mapping[str, str]
    aliases: Mapping[str, str] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()
    closed: frozenset[str] = frozenset()

    @classmethod
    def of(cls, *names: str) -> Self:
        """A scope of names of which nothing more is known."""
        return cls(dict.fromkeys(names, "any"))

    @classmethod
    def known(cls, names: Mapping[str, Known]) -> Self:
        """A scope of names with all that is known of what they stand for."""
        listed = dict(named(names))
        return cls(
            {name: known.type for name, known in listed.items()},
            optional=frozenset(name for name, known in listed.items() if known.optional),
            closed=frozenset(name for name, known in listed.items() if known.closed),
        )

    @classmethod
    def request(cls, action: Action, requirements: Iterable[Requirement]) -> Self:
        """What a request of the action may use: `input`, each input by its own name, each setting and secret by key."""
        types, optional, closed = _members("input", action.inputs)
        requirements = tuple(requirements)
        types.update({requirement.key: _setting_type(requirement) for requirement in requirements})
        optional |= {r.key for r in requirements if not r.required and r.default is None}
        return cls(
            types,
            aliases={p.name: f"input.{p.name}" for p in action.inputs if _plain(p.name) and p.name not in types},
            optional=frozenset(optional),
            secrets=frozenset(requirement.key for requirement in requirements if requirement.secret),
            closed=closed,
        )

    @classmethod
    def settings(cls, requirements: Iterable[Requirement]) -> Self:
        """What is known before a call has an input: each setting and secret by key."""
        given = tuple(requirements)
        return cls(
            {requirement.key: _setting_type(requirement) for requirement in given},
            optional=frozenset(r.key for r in given if not r.required and r.default is None),
            secrets=frozenset(requirement.key for requirement in given if requirement.secret),
        )

    @classmethod
    def response(cls, action: Action, *, collected: bool = False) -> Self:
        """What a response mapping may use: `data` (the parsed body), `status`, `headers` (lower case) and `input`.

        Once the pages of a list are collected, `items` are all of theirs, and `more` is whether others follow.
        """
        types, optional, closed = _members("input", action.inputs)
        types.update({"data": "any", "status": "integer", "headers": "object"})
        if collected and action.http is not None and action.http.pagination is not None:
            types.update({"items": "array", "more": "boolean"})
        return cls(types, optional=frozenset(optional), closed=closed)


def _members(name: str, parameters: tuple[Parameter, ...]) -> tuple[dict[str, str], set[str], frozenset[str]]:
    types = {name: "object"}
    optional = {f"{name}.{p.name}" for p in parameters if not p.required and p.default is None}
    closed = {name} if parameters else set()
    for parameter in parameters:
        member = f"{name}.{parameter.name}"
        types[member] = parameter.type
        if parameter.properties:
            closed.add(member)
            types.update({f"{member}.{p.name}": p.type for p in parameter.properties})
    return types, optional, frozenset(closed)


def _setting_type(requirement: Requirement) -> str:
    return "string" if requirement.secret else requirement.type


def _plain(name: str) -> bool:
    return name.isidentifier() and name not in CEL_WORDS
