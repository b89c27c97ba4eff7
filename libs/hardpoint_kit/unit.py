"""Owns what a service looks like to the program that starts it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

AddService = Callable[[Any, Any], None]


async def nothing() -> None:
    """Do nothing: the start and stop of a unit that owns no resources."""


async def always_ready() -> list[str]:
    """Report no reason against serving."""
    return []


@dataclass
class Unit:
    """A service ready to be started: its gRPC services and the life of what they stand on.

    `services` pairs each generated `add_..._to_server` with its servicer. `ready` returns the reasons why the unit
    cannot serve now; an empty list means SERVING. The server asks it every second or so, each time with a deadline.
    """

    name: str
    services: list[tuple[AddService, Any]]
    start: Callable[[], Awaitable[None]] = nothing
    stop: Callable[[], Awaitable[None]] = nothing
    ready: Callable[[], Awaitable[list[str]]] = always_ready
    service_names: list[str] = field(init=False)

    def __post_init__(self) -> None:
        collected = _Services()
        for add, servicer in self.services:
            add(servicer, collected)
        self.service_names = collected.names


class _Services:
    """Stands in for a server while a unit's services say their full names."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        self.names.extend(handler.service_name() for handler in handlers)

    def add_registered_method_handlers(self, service_name: str, handlers: Any) -> None:
        """Accept what generated code also registers; the names are known by now."""
