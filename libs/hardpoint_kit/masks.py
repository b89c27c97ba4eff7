"""Owns partial updates: update masks over domain dataclasses, and the etags that guard them."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter

from hardpoint_kit.errors import InvalidArgument, StaleEtag

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def apply_mask(current: T, patch: T, paths: Iterable[str], allowed: Collection[str]) -> T:
    """Return `current` with the fields named by `paths` taken from `patch`.

    No path, or `*`, means every allowed field; raises InvalidArgument for a path that is not in `allowed`.
    """
    wanted = list(dict.fromkeys(paths))
    if not wanted or wanted == ["*"]:
        wanted = list(allowed)
    refused = [path for path in wanted if path not in allowed]
    if refused:
        raise InvalidArgument(
            {"update_mask": f"cannot update {', '.join(refused)}"}, fix=f"name only {', '.join(sorted(allowed))}"
        )
    changes: dict[str, Any] = {path: getattr(patch, path) for path in wanted}
    return replace(current, **changes)


def etag(resource: "DataclassInstance") -> str:
    """Return a short text that changes whenever a field of the dataclass does.

    The order of a set differs between processes: a dataclass that holds one has no etag here.
    """
    return hashlib.sha256(_adapter(type(resource)).dump_json(resource)).hexdigest()[:16]


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    """The adapter of a class, which takes a millisecond to make."""
    return TypeAdapter(kind)


def check_etag(sent: str, current: str) -> None:
    """Refuse an update based on an old read; an empty `sent` asks for no check. Raises StaleEtag."""
    if sent and sent != current:
        raise StaleEtag(
            "the resource changed since it was read", fix="read it again and repeat the change", place="etag"
        )
