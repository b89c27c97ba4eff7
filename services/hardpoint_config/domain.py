"""Owns the nouns of config and their rules: settings documents, secrets, leases; pure, without encryption or I/O."""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NoReturn, Self

from hardpoint_kit import masks
from hardpoint_kit.errors import InvalidArgument
from hardpoint_kit.names import SETTING_KEY, SETTING_KEY_HELP, SecretName, SettingsName

MAX_KEYS = 100
MAX_VALUES_BYTES = 64 * 1024


class SecretValue:
    """A secret's bytes, which show themselves to `reveal` alone: no text, log line or dump of an object holds them."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """Return the bytes; whoever calls this takes them out of our care."""
        return self._value

    def __repr__(self) -> str:
        return "SecretValue(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret value is not copied, pickled or stored")


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """What an update asks for: the given keys and, in `mask`, the paths ("values.TIMEOUT") it is limited to."""

    values: Mapping[str, Any]
    secrets: Mapping[str, SecretName]
    mask: tuple[str, ...] = ()

    def paths(self) -> tuple[str, ...]:
        """Return the paths to write: those of the mask, else those of all given keys; raises InvalidArgument."""
        given = (*(f"values.{key}" for key in self.values), *(f"secrets.{key}" for key in self.secrets))
        for path in self.mask or given:
            part, _, key = path.partition(".")
            if part not in ("values", "secrets") or not SETTING_KEY.fullmatch(key):
                raise InvalidArgument(
                    {"update_mask" if self.mask else f"settings.{path}": f'"{path}" does not name a key'},
                    fix=f"write values.KEY or secrets.KEY; {SETTING_KEY_HELP}",
                )
        return self.mask or given


@dataclass(frozen=True, slots=True)
class Settings:
    """A settings document: plain JSON values and secrets, by key; no key is both. Never set, it is empty."""

    name: SettingsName
    values: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, SecretName] = field(default_factory=dict)
    update_time: datetime | None = None
    connected_key: str = ""
    """The key that a connection fills in; no part of the document."""

    @property
    def etag(self) -> str:
        """A text that changes whenever the document does."""
        return masks.etag(replace(self, connected_key=""))

    def updated(self, change: SettingsChange, at: datetime) -> Self:
        """Return the document after the change: its paths are set, or removed where the change gives them no value.

        Raises InvalidArgument for a key that would be both value and secret, another org's secret, or too much.
        """
        values, bound = dict(self.values), dict(self.secrets)
        for path in change.paths():
            part, _, key = path.partition(".")
            if part == "values":
                _put(values, key, change.values)
            else:
                _put(bound, key, change.secrets)
        self._check(values, bound)
        return replace(self, values=values, secrets=dict(sorted(bound.items())), update_time=at)

    def _check(self, values: Mapping[str, Any], bound: Mapping[str, SecretName]) -> None:
        for key in sorted(values.keys() & bound.keys()):
            raise InvalidArgument(
                {f"settings.values.{key}": "is bound to a secret too"},
                fix=f"name values.{key} or secrets.{key} in the update mask, without a value, to remove it",
            )
        for key, secret in bound.items():
            if secret.org != self.name.org:
                raise InvalidArgument({f"settings.secrets.{key}": "is a secret of another org"})
        for part, keys in (("values", values.keys()), ("secrets", bound.keys())):
            if len(keys) > MAX_KEYS:
                raise InvalidArgument({f"settings.{part}": f"has more than {MAX_KEYS} keys"})
        check_json(values, "settings.values")
        if len(json.dumps(values)) > MAX_VALUES_BYTES:
            raise InvalidArgument({"settings.values": f"takes more than {MAX_VALUES_BYTES} bytes"})


def _put(target: dict[str, Any], key: str, given: Mapping[str, Any]) -> None:
    if key in given:
        target[key] = given[key]
    else:
        target.pop(key, None)


def check_json(value: Any, place: str) -> None:
    """Raise InvalidArgument for what no JSON document or database column can hold: NaN, infinity, NUL characters."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidArgument({place: "holds a number that is not finite"})
    if isinstance(value, str) and "\0" in value:
        raise InvalidArgument({place: "holds a NUL character"})
    if isinstance(value, Mapping):
        for key, inner in value.items():
            check_json(key, place)
            check_json(inner, f"{place}.{key}")
    elif isinstance(value, Collection) and not isinstance(value, str):
        for index, inner in enumerate(value):
            check_json(inner, f"{place}[{index}]")


@dataclass(frozen=True, slots=True)
class Secret:
    """What is known of a secret: all but its value. `version` counts its values from 1."""

    name: SecretName
    description: str
    version: int
    create_time: datetime
    rotate_time: datetime | None = None

    @classmethod
    def new(cls, name: SecretName, description: str, at: datetime) -> Self:
        """Return a secret with its first value; raises InvalidArgument for a description that cannot be stored."""
        check_json(description, "description")
        return cls(name=name, description=description, version=1, create_time=at)

    @property
    def etag(self) -> str:
        """A text that changes whenever the secret does."""
        return masks.etag(self)

    def rotated(self, at: datetime) -> Self:
        """Return the secret with its next value."""
        return replace(self, version=self.version + 1, rotate_time=at)


@dataclass(frozen=True, slots=True)
class Lease:
    """A ticket to the values of one settings document until `expire_time`; whoever holds the token may read them."""

    token: str = field(repr=False)
    expire_time: datetime
    per_user: bool = False
    """Whether it opens the account of one person, or, made for nobody, none of them."""


@dataclass(frozen=True, slots=True)
class LeasedValues:
    """What a lease is for, as it is now."""

    values: Mapping[str, Any]
    secrets: Mapping[str, SecretValue]
    expire_time: datetime
