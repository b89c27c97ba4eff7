"""Owns resource names: the only identifiers that cross a service's edge.

`str(name)` and `Name.parse(text)` are inverse. A name that exists is well formed: constructors check their parts.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Any, ClassVar, Self

from hardpoint_kit.errors import InvalidArgument

ID = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
VERSION = (
    r"(?:0|[1-9][0-9]{0,8})\.(?:0|[1-9][0-9]{0,8})\.(?:0|[1-9][0-9]{0,8})"
    r"(?:-(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
PRODUCT_ORG = "hardpoint"
"""The org of what is shipped with the product; no token but a unit's own stands for it."""
_PART = {"version": re.compile(VERSION, re.ASCII)}
_ID = re.compile(ID, re.ASCII)
_ORG = re.compile(rf"(?:orgs/(?P<org>{ID})(?:/|$)|listings/(?P<owner>{ID})\.)", re.ASCII)
_LONGEST_PART = 128
_VARIABLE = re.compile(r"\{(\w+)\}")
_HELP = {"version": "must be a semantic version such as 1.2.0"}
ID_HELP = "must be 1 to 63 lower case letters, digits or hyphens, with a letter or digit at both ends"

SETTING_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
SETTING_KEY_HELP = "a key has at most 64 letters, digits and _, no digit first"

_kinds: dict[str, type["Name"]] = {}


@dataclass(frozen=True, slots=True)
class Name:
    """A resource name of one kind, such as `orgs/acme/agents/helper`; every name belongs to an org."""

    kind: ClassVar[str]
    pattern: ClassVar[str]
    _shape: ClassVar[str]
    _parts: ClassVar[Callable[["Name"], Any]]
    org: str

    def __init_subclass__(cls) -> None:
        _kinds[cls.kind] = cls
        cls._shape = _VARIABLE.sub("%s", cls.pattern)
        cls._parts = attrgetter(*_VARIABLE.findall(cls.pattern))

    def __post_init__(self) -> None:
        for part in self.__match_args__:
            value = getattr(self, part)
            if len(value) > _LONGEST_PART or not _PART.get(part, _ID).fullmatch(value):
                raise InvalidArgument({part: f'"{value}" {_HELP.get(part, ID_HELP)}'})

    def __str__(self) -> str:
        text: str = self._shape % type(self)._parts(self)
        return text

    @classmethod
    def parse(cls, text: str, place: str = "name") -> Self:
        """Read a name; raises InvalidArgument that names `place`, the request's field, when it is of another shape."""
        found = _shape(cls.pattern).fullmatch(text)
        if found is None:
            raise InvalidArgument(
                {place: f'"{text}" is not the name of {_a(cls.kind)}'}, fix=f"write it as {cls.pattern}"
            )
        try:
            return cls(**found.groupdict())
        except InvalidArgument as error:
            wrong = "; ".join(f"{part} {problem}" for part, problem in error.violations.items())
            raise InvalidArgument({place: wrong}, fix=f"write it as {cls.pattern}") from None


def is_id(text: str) -> bool:
    """Tell whether the text can be one part of a name, such as an org's id."""
    return _ID.fullmatch(text) is not None


def kind_of(text: str) -> str:
    """Tell the kind of resource a name has the shape of, `resource` when it has none we know."""
    return next((kind for kind, name in _kinds.items() if _shape(name.pattern).fullmatch(text)), "resource")


def org_of(text: str) -> str | None:
    """Tell the org that a resource name, or a parent's name, belongs to; None when it names none."""
    found = _ORG.match(text)
    return (found["org"] or found["owner"]) if found else None


@cache
def _shape(pattern: str) -> re.Pattern[str]:
    return re.compile(_VARIABLE.sub(r"(?P<\1>[^/]*?)", pattern.replace(".", r"\.")))


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


@dataclass(frozen=True, slots=True)
class OrgName(Name):
    """`orgs/{org}`"""

    kind = "org"
    pattern = "orgs/{org}"


@dataclass(frozen=True, slots=True)
class PolicyName(Name):
    """`orgs/{org}/policy`"""

    kind = "policy"
    pattern = "orgs/{org}/policy"


@dataclass(frozen=True, slots=True)
class CapabilityName(Name):
    """`orgs/{org}/capabilities/{capability}`"""

    kind = "capability"
    pattern = "orgs/{org}/capabilities/{capability}"
    capability: str


@dataclass(frozen=True, slots=True)
class ReleaseName(Name):
    """`orgs/{org}/capabilities/{capability}/releases/{version}`; version is semver text."""

    kind = "release"
    pattern = "orgs/{org}/capabilities/{capability}/releases/{version}"
    capability: str
    version: str

    @property
    def capability_name(self) -> CapabilityName:
        """The capability this is a release of."""
        return CapabilityName(self.org, self.capability)


@dataclass(frozen=True, slots=True)
class ListingName(Name):
    """`listings/{org}.{capability}`"""

    kind = "listing"
    pattern = "listings/{org}.{capability}"
    capability: str

    @property
    def capability_name(self) -> CapabilityName:
        """The capability this listing offers."""
        return CapabilityName(self.org, self.capability)


@dataclass(frozen=True, slots=True)
class SecretName(Name):
    """`orgs/{org}/secrets/{secret}`"""

    kind = "secret"
    pattern = "orgs/{org}/secrets/{secret}"
    secret: str


@dataclass(frozen=True, slots=True)
class SettingsName(Name):
    """`orgs/{org}/settings/{installation}`"""

    kind = "settings"
    pattern = "orgs/{org}/settings/{installation}"
    installation: str


@dataclass(frozen=True, slots=True)
class ConnectionName(Name):
    """`orgs/{org}/connections/{connection}`; the id is that of the settings document that uses it."""

    kind = "connection"
    pattern = "orgs/{org}/connections/{connection}"
    connection: str

    @property
    def settings(self) -> SettingsName:
        """The document that the connection fills in a key of."""
        return SettingsName(self.org, self.connection)


@dataclass(frozen=True, slots=True)
class InstallationName(Name):
    """`orgs/{org}/installations/{installation}`"""

    kind = "installation"
    pattern = "orgs/{org}/installations/{installation}"
    installation: str


@dataclass(frozen=True, slots=True)
class AgentName(Name):
    """`orgs/{org}/agents/{agent}`"""

    kind = "agent"
    pattern = "orgs/{org}/agents/{agent}"
    agent: str


@dataclass(frozen=True, slots=True)
class AttachmentName(Name):
    """`orgs/{org}/agents/{agent}/attachments/{attachment}`"""

    kind = "attachment"
    pattern = "orgs/{org}/agents/{agent}/attachments/{attachment}"
    agent: str
    attachment: str

    @property
    def agent_name(self) -> AgentName:
        """The agent this is attached to."""
        return AgentName(self.org, self.agent)


@dataclass(frozen=True, slots=True)
class FileName(Name):
    """`orgs/{org}/files/{file}`"""

    kind = "file"
    pattern = "orgs/{org}/files/{file}"
    file: str


@dataclass(frozen=True, slots=True)
class RunName(Name):
    """`orgs/{org}/runs/{run}`"""

    kind = "run"
    pattern = "orgs/{org}/runs/{run}"
    run: str


@dataclass(frozen=True, slots=True)
class StepName(Name):
    """`orgs/{org}/runs/{run}/steps/{step}`"""

    kind = "step"
    pattern = "orgs/{org}/runs/{run}/steps/{step}"
    run: str
    step: str

    @property
    def run_name(self) -> RunName:
        """The run this is a step of."""
        return RunName(self.org, self.run)


@dataclass(frozen=True, slots=True)
class TriggerName(Name):
    """`orgs/{org}/agents/{agent}/triggers/{trigger}`"""

    kind = "trigger"
    pattern = "orgs/{org}/agents/{agent}/triggers/{trigger}"
    agent: str
    trigger: str

    @property
    def agent_name(self) -> AgentName:
        """The agent whose actions it runs."""
        return AgentName(self.org, self.agent)


@dataclass(frozen=True, slots=True)
class DeliveryName(Name):
    """`orgs/{org}/agents/{agent}/triggers/{trigger}/deliveries/{delivery}`"""

    kind = "delivery"
    pattern = "orgs/{org}/agents/{agent}/triggers/{trigger}/deliveries/{delivery}"
    agent: str
    trigger: str
    delivery: str

    @property
    def trigger_name(self) -> TriggerName:
        """The trigger that it came to."""
        return TriggerName(self.org, self.agent, self.trigger)


def check_setting_key(key: str) -> None:
    """Refuse a key that no settings document can have; raises InvalidArgument."""
    if not SETTING_KEY.fullmatch(key):
        raise InvalidArgument(f"{key[:80]!a} is no key of settings", fix=SETTING_KEY_HELP)
