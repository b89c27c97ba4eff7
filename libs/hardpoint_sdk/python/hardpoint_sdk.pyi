# What a Python capability imports, for editors; `hardpoint new python` writes it beside the capability.
#
# In a class:            class Actions(Plugin): ...
# In loose functions:    async def greet(self: Plugin, input: dict[str, Any]) -> Any: ...
#
# Nothing here runs; a test holds it to what the SDK really offers. Names with an underscore are types alone.

import builtins
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict, TypeVar, overload

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Class = TypeVar("_Class", bound=type)
_Level = Literal["debug", "info", "warning", "error"]

class _File(TypedDict):
    id: str
    name: str
    type: str
    size: int

class _FileHandle(_File, total=False):
    expire_time: str
    """When it is gone, such as 2030-01-31T08:00:00Z; none for a file that stays."""

class _Kept(TypedDict):
    name: str
    size: int

class _Rows(TypedDict):
    rows: int

class _User(TypedDict, total=False):
    id: str
    name: str
    email: str
    locale: str
    time_zone: str

class _Said(TypedDict):
    role: Literal["user", "assistant", "system", "tool"]
    text: str

class _NamedConversation(TypedDict, total=False):
    id: str

class _Conversation(_NamedConversation):
    messages: list[_Said]

class _Call(TypedDict, total=False):
    org: str
    capability: str
    release: str
    action: str
    agent: str
    run: str
    execution: str
    idempotency_key: str
    at: str
    seed: str
    user: _User
    conversation: _Conversation
    files: list[_FileHandle]

class _Closed(TypedDict):
    code: int
    reason: str

class _Mail(TypedDict):
    message: str
    size: int
    seen: bool
    header: str

class _Mails(TypedDict):
    messages: list[_Mail]
    more: bool

class _Tag(TypedDict):
    etag: str

class _Event(_Tag):
    text: str

class BrokerError(Exception):
    """The platform refused or could not do what was asked; `code` says why, such as `HOST_NOT_GRANTED`."""

    code: str
    message: str
    ask: int
    def __init__(self, code: str, message: str, ask: int = 0) -> None: ...

class Response:
    """An HTTP answer. Header names are lower case; `body` is bytes, `text` the same as UTF-8."""

    status: int
    headers: dict[str, str]
    body: bytes
    file: dict[str, Any] | None
    def __init__(self, answer: Mapping[str, Any]) -> None: ...
    @property
    def ok(self) -> bool: ...
    @property
    def text(self) -> str: ...
    def json(self) -> Any: ...

class _WebSocket:
    """An open WebSocket; it is closed at the end of the execution, if not before."""

    subprotocol: str
    closed: _Closed | None
    async def send(self, data: Any) -> None:
        """Send a text, bytes, or any other value as JSON. Handles in a text become secrets."""
    async def receive(self, *, timeout: float | None = None) -> str | bytes | None:
        """The next message; None when the server has closed it. In seconds, 5 where none are given."""
    async def close(self) -> None: ...

class _Files:
    """Temporary files have a name and need `file.temporary`; stored ones a handle, and `file.read` or `file.write`."""

    async def write(self, name: str, data: str | bytes, *, append: bool = False) -> _Kept: ...
    async def read(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes: ...
    @overload
    async def open(self, handle: Any, *, offset: int = 0, length: int | None = None, into: None = None) -> bytes: ...
    @overload
    async def open(self, handle: Any, *, offset: int = 0, length: int | None = None, into: str) -> _Kept: ...
    async def save(
        self,
        name: str,
        data: str | bytes = b"",
        type: str | None = None,
        *,
        from_file: str | None = None,
        expires_in: int | None = None,
    ) -> _FileHandle:
        """`expires_in` is in seconds, 30 days at most: the file is gone then."""
    @overload
    async def list(self, *, stored: Literal[False] = False) -> builtins.list[_Kept]: ...
    @overload
    async def list(self, *, stored: Literal[True]) -> builtins.list[_FileHandle]: ...
    async def size(self, name: str) -> int: ...
    async def delete(self, name: str) -> None: ...

class _Context:
    """What is known of the call, and what the calling agent says it knows: nobody proved that."""

    async def get(self) -> _Call: ...
    async def user(self) -> _User | None:
        """Who the agent acts for. Needs `context.user`."""
    async def conversation(self) -> _Conversation | None:
        """The conversation that the call comes from. Needs `context.conversation`."""
    async def files(self) -> list[_FileHandle]:
        """Files that were shared with the agent, for `file.open`. Needs `context.files`."""

class _Database:
    """Statements are one at a time, with `$1`, `$2` ... for values, which are never part of the text."""

    async def query(self, sql: str, params: Sequence[Any] = (), *, connection: str = "") -> list[dict[str, Any]]:
        """The rows of one statement. A SELECT needs `data.read`."""
    async def execute(self, sql: str, params: Sequence[Any] = (), *, connection: str = "") -> _Rows:
        """How many rows one INSERT, UPDATE (`data.write`), DELETE or TRUNCATE (`data.delete`) changed."""
    async def insert(
        self, table: str, rows: Mapping[str, Any] | Sequence[Mapping[str, Any]], *, connection: str = ""
    ) -> _Rows:
        """Insert one row or several, all or none, by column name. Needs `data.write`."""
    async def update(
        self, table: str, values: Mapping[str, Any], where: Mapping[str, Any], *, connection: str = ""
    ) -> _Rows:
        """Change the rows whose columns equal those of `where`, at most 1000 or none. Needs `data.write`."""
    async def delete(self, table: str, where: Mapping[str, Any], *, connection: str = "") -> _Rows:
        """Remove the rows whose columns equal those of `where`, at most 1000 or none. Needs `data.delete`."""

class _Ai:
    async def chat(
        self,
        *,
        prompt: str | None = None,
        messages: Sequence[Mapping[str, Any]] | None = None,
        input: Any = None,
        schema: Mapping[str, Any] | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
    ) -> dict[str, Any]:
        """Ask the model: `{text, data?, tool_calls?, usage}`. Needs `ai.call`, and `ai.vision` with images."""
    async def embed(self, texts: Sequence[str], *, model: str | None = None) -> list[list[float]]:
        """A vector for each text. Needs `ai.embedding`."""

class _Email:
    async def send(
        self,
        *,
        to: str | Sequence[str],
        subject: str,
        body: str,
        html: str | None = None,
        cc: str | Sequence[str] | None = None,
        bcc: str | Sequence[str] | None = None,
        reply_to: str | None = None,
        attachments: Sequence[Mapping[str, Any]] | None = None,
    ) -> dict[str, str]:
        """Send a mail: `{"message_id": ..}`. All need `integration.email`."""
    async def search(self, **wanted: Any) -> _Mails:
        """The newest mails of a `folder` that fit `from`, `to`, `subject`, `text`, `since`, `before`, `unseen`."""
    async def fetch(self, message: str, *, folder: str = "INBOX") -> bytes:
        """A whole mail, as the bytes that it is."""

class _Calendar:
    """CalDAV as it stands, below the path of CALDAV_URL. All need `integration.calendar`."""

    async def propfind(self, path: str, body: str, *, depth: int = 1) -> str: ...
    async def report(self, path: str, body: str) -> str: ...
    async def get(self, path: str) -> _Event: ...
    async def put(self, path: str, body: str, *, etag: str | None = None) -> _Tag:
        """Write an event; without an etag it has to be new."""
    async def delete(self, path: str, *, etag: str | None = None) -> None: ...

class _Utils:
    """Tables and figures: numbers, or rows and a `column`."""

    def parse_csv(self, text: str, *, header: bool | None = None, delimiter: str = ",") -> list[Any]: ...
    def to_csv(self, rows: Sequence[Any], *, delimiter: str = ",") -> str: ...
    def numbers(self, data: Any, *, column: str | None = None) -> list[float]: ...
    def sum(self, data: Any, *, column: str | None = None) -> float: ...
    def min(self, data: Any, *, column: str | None = None) -> float: ...
    def max(self, data: Any, *, column: str | None = None) -> float: ...
    def mean(self, data: Any, *, column: str | None = None) -> float: ...
    def median(self, data: Any, *, column: str | None = None) -> float: ...
    def quantile(self, data: Any, q: float, *, column: str | None = None) -> float: ...
    def variance(self, data: Any, *, column: str | None = None, population: bool = False) -> float: ...
    def standard_deviation(self, data: Any, *, column: str | None = None, population: bool = False) -> float: ...
    def find_outliers(self, data: Any, *, column: str | None = None) -> list[float]: ...
    def correlation(self, xs: Any, ys: Any) -> float | None: ...
    def linear_trend(self, data: Any, *, column: str | None = None) -> dict[str, float]: ...
    def group_by(self, rows: Sequence[Mapping[str, Any]], column: str) -> list[dict[str, Any]]: ...

class Plugin:
    """What `self` offers an action, besides the capability's own methods."""

    utils: _Utils
    config: Mapping[str, Any]
    """Settings by key; a secret is a handle that only the broker can turn into its value."""
    permissions: Sequence[str]
    """What the organisation granted."""
    file: _Files
    context: _Context
    db: _Database
    ai: _Ai
    email: _Email
    calendar: _Calendar

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
        """Make an HTTP request through the broker; `body_file` names a temporary file to send, `into` one to keep."""
    async def websocket(
        self, url: str, *, headers: Mapping[str, str] | None = None, subprotocols: Sequence[str] = ()
    ) -> _WebSocket:
        """Open a WebSocket, `wss://`, to one of the hosts that are granted. Needs `network.websocket`."""
    async def call(self, action: str, input: Mapping[str, Any] | None = None) -> Any:
        """Call an action of another capability, `capability.action`, which the header's `calls` names."""
    def log(self, message: object, level: _Level = "info") -> None: ...
    def progress(self, fraction: float, message: str = "") -> None: ...

def capability(**header: Any) -> Callable[[_Class], _Class]:
    """Declare the header: id, name, version, description, config, permissions and whatever a manifest knows."""

@overload
def action(function: _Function) -> _Function: ...
@overload
def action(**words: Any) -> Callable[[_Function], _Function]: ...
