"""Owns what a service looks like to the program that starts it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

AddService = Callable[[Any, Any], None]


async def nothing() -> None:
    """Do nothing: the start and stop of a unit that owns no resources."""


async def always_ready() -> list[str]:
    """Report no reason against serving."""
    return []


@dataclass
class Unit:
    """A service ready to be started: its gRPC services and the life of what they stand on.

    `services` pairs each generated `add_..._to_server` with its servicer. `drain` is
    called when no new calls are taken: it ends the streams that would go on for ever. `ready` returns the reasons why
    the unit cannot serve now; an empty list means SERVING. The server asks it every second or so, with a deadline.
    """

    name: str
    services: list[tuple[AddService, Any]]
    start: Callable[[], Awaitable[None]] = nothing
    drain: Callable[[], Awaitable[None]] = nothing
    stop: Callable[[], Awaitable[None]] = nothing
    ready: Callable[[], Awaitable[list[str]]] = always_ready
    handlers: dict[str, grpc.GenericRpcHandler] = field(init=False)
    """What serves each gRPC service, by the service's full name."""

    def __post_init__(self) -> None:
        collected = _Handlers()
        for add, servicer in self.services:
            add(servicer, collected)
        self.handlers = collected.by_service


class _Handlers:
    """Stands in for a server while generated code adds a unit's services."""

    def __init__(self) -> None:
        self.by_service: dict[str, grpc.GenericRpcHandler] = {}

    def add_generic_rpc_handlers(self, handlers: tuple[grpc.ServiceRpcHandler, ...]) -> None:
        """Keep the handlers of one service."""
        self.by_service.update((handler.service_name(), handler) for handler in handlers)

    def add_registered_method_handlers(self, service_name: str, handlers: Any) -> None:
        """Ignore the second registration of the same methods that generated code makes."""
