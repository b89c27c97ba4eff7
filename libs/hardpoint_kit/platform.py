"""Owns what the program that starts a unit hands to it: the things that differ between a laptop and a cluster."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc.aio

from hardpoint_kit.clock import Clock


@dataclass(frozen=True, slots=True)
class Platform:
    """The world of a unit.

    `channel` answers with the one channel to a peer's unit, by the unit's name ("registry"); it shows this process's
    own token and acts for the caller being served. `state` is a folder for files that may be rebuilt.
    """

    clock: Clock
    channel: Callable[[str], grpc.aio.Channel]
    state: Path
