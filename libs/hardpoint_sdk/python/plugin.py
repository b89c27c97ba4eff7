"""Owns the form of a Python plugin: a header, its actions, and what `self` offers them.

    @capability(id="greeter", name="Greeter", version="1.0.0")
    class Greeter:
        @action(description="Say hello")
        async def greet(self, input):
            return {"text": f"Hello {input['name']}"}

A plugin without a class calls `capability(...)` once and decorates functions `async def greet(self, input)`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, overload

from .host import Context, Files
from .response import Response
from .services import Ai, Calendar, Database, Email
from .websocket import WebSocket

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Class = TypeVar("_Class", bound=type)
_MARK = "__hardpoint_action__"


class Plugin(Protocol):
    """What `self` offers an action, besides the plugin's own methods."""

    utils: Any
    """Tables and figures: parse_csv, mean, median, standard_deviation, find_outliers, ..."""
    config: Mapping[str, Any]
    """Settings by key; a secret is a handle that only the broker can turn into its value."""
    permissions: Sequence[str]
    """What the organisation granted."""
    file: Files
    """Temporary files, which are gone with the execution, and stored ones."""
    context: Context
    """What is known of the call."""
    db: Database
    """The organisation's database."""
    ai: Ai
    """The organisation's model."""
    email: Email
    """The organisation's mail."""
    calendar: Calendar
    """The organisation's calendars."""

    async def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
        json: Any = None,
        body_file: str | None = None,
        into: str | None = None,
    ) -> Response:
        """Make an HTTP request through the broker. Raises BrokerError.

        `body_file` names a temporary file to send, `into` one to keep the answer's body in.
        """

    async def websocket(
        self, url: str, *, headers: Mapping[str, str] | None = None, subprotocols: Sequence[str] = ()
    ) -> WebSocket:
        """Open a WebSocket, `wss://`, to one of the hosts that are granted. Needs `network.websocket`.

        Raises BrokerError.
        """

    async def call(self, action: str, input: Mapping[str, Any] | None = None) -> Any:
        """Call an action of another capability, `capability.action`, which the header's `calls` names; what it gives.

        Raises BrokerError, whose `code` is the reason for which it failed or was refused.
        """

    def log(self, message: object, level: str = "info") -> None:
        """Log a line; level is debug, info, warning or error."""

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far the action is, from 0 to 1."""


class Header:
    """What a module declared while it was run: the words of its header, and a class or loose functions."""

    def __init__(self) -> None:
        self.words: dict[str, Any] | None = None
        self.owner: type | None = None
        self.functions: dict[str, Callable[..., Any]] = {}

    def actions(self) -> dict[str, Callable[..., Any]]:
        """Actions by id; of a class, its own and inherited decorated methods."""
        if self.owner is None:
            return self.functions
        members = {name: getattr(self.owner, name) for name in dir(self.owner) if not name.startswith("__")}
        return {getattr(member, _MARK)["id"]: member for member in members.values() if hasattr(member, _MARK)}

    def described(self) -> dict[str, Any]:
        """The header as JSON, its actions as a list."""
        is_async = {key: bool(function.__code__.co_flags & 0x80) for key, function in self.actions().items()}
        actions = [
            {**getattr(function, _MARK), "async": is_async[key], "declared": True}
            for key, function in self.actions().items()
        ]
        return {**(self.words or {}), "actions": actions}


declared = Header()
"""The header of the one module that this process loads."""


def capability(**header: Any) -> Callable[[_Class], _Class]:
    """Declare the header: id, name, version, description, config, permissions and whatever else a manifest knows.

    Decorates the class that holds the actions; a module of functions calls it alone.
    """
    if declared.words is not None:
        raise ValueError("a module declares one capability; this is the second")
    declared.words = header

    def decorate(owner: _Class) -> _Class:
        declared.owner = owner
        return owner

    return decorate


@overload
def action(function: _Function) -> _Function: ...
@overload
def action(**words: Any) -> Callable[[_Function], _Function]: ...
def action(function: Any = None, **words: Any) -> Any:
    """Make a function callable from outside; `id` (its name), description, inputs, outputs and effect describe it."""

    def decorate(target: Callable[..., Any]) -> Callable[..., Any]:
        described = {"id": target.__name__, **words}
        setattr(target, _MARK, described)
        if "." not in target.__qualname__:
            declared.functions[described["id"]] = target
        return target

    return decorate if function is None else decorate(function)
