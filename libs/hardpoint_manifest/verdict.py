"""Owns what an example says of an execution: whether it went as the author wrote, or as it was recorded. Pure."""

from typing import Any

from hardpoint_manifest.cassette import Cassette
from hardpoint_manifest.matcher import differences
from hardpoint_manifest.model import Action, Example


def verdict(example: Example, cassette: Cassette | None, output: Any, reason: str = "") -> tuple[str, ...]:
    """How it went otherwise, one sentence each; `reason` is that of an execution that failed.

    An example that expects nothing expects what was recorded, where it is replayed.
    """
    expected_error, expected = example.expected_error, example.expected_output
    if cassette is not None and expected is None and not expected_error:
        expected_error, expected = cassette.error or "", cassette.output
    if reason:
        return () if reason == expected_error else (f"it failed with {reason}" + _instead(expected_error),)
    if expected_error:
        return (f"it gave an output instead of failing with {expected_error}",)
    return differences(expected, output) if expected is not None else ()


def stale(example: Example, action: Action, cassette: Cassette) -> str:
    """Why a cassette is none of this example any more; empty when it is."""
    if cassette.fits(action.id, action.with_defaults(example.input)):
        return ""
    return f"the cassette was recorded from another input of {cassette.action}, or of another action"


def _instead(expected: str) -> str:
    return f", not with {expected}" if expected else ""
