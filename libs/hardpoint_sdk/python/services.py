"""Owns what `self` offers of services that the organisation set up: database, model, mail, calendar.

The JavaScript SDK offers the same in `services.mjs`. Addresses and passwords stay outside: the broker knows them.
"""

import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

_Ask = Callable[[str, str, Mapping[str, Any]], Awaitable[Any]]


class Database:
    """The organisation's PostgreSQL: the secret `DATABASE_URL`, or another that `connection` names.

    Statements are one at a time, with `$1`, `$2` ... for values, which are never part of the text. Only the tables of
    the setting DATABASE_TABLES can be named. Rows come as JSON: dates and times as ISO texts, `bytea` as base64,
    `numeric` and `bigint` as numbers where a double holds them exactly and as text where not.
    """

    def __init__(self, ask: _Ask) -> None:
        self._ask = ask

    async def query(self, sql: str, params: Sequence[Any] = (), *, connection: str = "") -> list[dict[str, Any]]:
        """The rows of one statement. A SELECT needs the permission `data.read`. Raises BrokerError."""
        rows: list[dict[str, Any]] = await self._ask("db", "query", _statement(sql, params, connection))
        return rows

    async def execute(self, sql: str, params: Sequence[Any] = (), *, connection: str = "") -> dict[str, int]:
        """`{"rows": n}`: how many one INSERT, UPDATE (`data.write`), DELETE or TRUNCATE (`data.delete`) changed."""
        changed: dict[str, int] = await self._ask("db", "execute", _statement(sql, params, connection))
        return changed

    async def insert(
        self, table: str, rows: Mapping[str, Any] | Sequence[Mapping[str, Any]], *, connection: str = ""
    ) -> dict[str, int]:
        """Insert one row or several, all or none, by column name: `{"rows": n}`. Needs `data.write`."""
        changed: dict[str, int] = await self._ask(
            "db", "insert", _given(table=table, rows=rows, connection=connection or None)
        )
        return changed

    async def update(
        self, table: str, values: Mapping[str, Any], where: Mapping[str, Any], *, connection: str = ""
    ) -> dict[str, int]:
        """Change the rows whose columns equal those of `where`: `{"rows": n}`. Needs `data.write`.

        None in `where` means that there is no value. More than 1000 rows are not changed: BrokerError TOO_MANY_ROWS.
        """
        asked = _given(table=table, values=values, where=where, connection=connection or None)
        changed: dict[str, int] = await self._ask("db", "update", asked)
        return changed

    async def delete(self, table: str, where: Mapping[str, Any], *, connection: str = "") -> dict[str, int]:
        """Remove the rows that `update` would change: `{"rows": n}`. Needs `data.delete`. Raises as `update`."""
        asked = _given(table=table, where=where, connection=connection or None)
        changed: dict[str, int] = await self._ask("db", "delete", asked)
        return changed


class Ai:
    """The organisation's model, at any endpoint that speaks as OpenAI does: AI_URL, AI_KEY and AI_MODEL."""

    def __init__(self, ask: _Ask) -> None:
        self._ask = ask

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
        """Ask the model: `{text, data?, tool_calls?, usage}`. Needs `ai.call`, and `ai.vision` with images.

        Give `messages`, or a `prompt`, about an `input` (any JSON) where there is one. With a `schema` the answer is
        JSON, in `data`; whether it fits the schema is the model's promise, not checked. `tools` are
        `{name, description, parameters}`; what the model wants called is in `tool_calls`: `{id, name, arguments}`.
        """
        asked = _given(
            prompt=prompt,
            messages=messages,
            input=input,
            schema=schema,
            tools=tools,
            model=model,
            max_tokens=max_tokens,
        )
        answer: dict[str, Any] = await self._ask("ai", "chat", asked)
        return answer

    async def embed(self, texts: Sequence[str], *, model: str | None = None) -> list[list[float]]:
        """A vector for each text. Needs `ai.embedding`; the model is AI_EMBEDDING_MODEL."""
        vectors: list[list[float]] = await self._ask("ai", "embed", _given(texts=texts, model=model))
        return vectors


class Email:
    """The organisation's mail: SMTP_URL and EMAIL_FROM to send, IMAP_URL to read. All need `integration.email`."""

    def __init__(self, ask: _Ask) -> None:
        self._ask = ask

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
        """Send a mail: `{"message_id": ..}`.

        An attachment is `{name, data, type?}`, its data text or bytes, or the handle of a stored file (`file.read`).
        """
        asked = _given(to=to, subject=subject, body=body, html=html, cc=cc, bcc=bcc, reply_to=reply_to)
        if attachments is not None:
            asked["attachments"] = [_attached(attachment) for attachment in attachments]
        sent: dict[str, str] = await self._ask("email", "send", asked)
        return sent

    async def search(self, **wanted: Any) -> dict[str, Any]:
        """The newest mails of a `folder` (INBOX) that fit: `{"messages": [{message, size, seen, header}], "more"}`.

        What is wanted: `from`, `to`, `subject` and `text` hold a text, `since` and `before` are days, `unseen` is true;
        `limit` is 20, and 50 at most. A header is the text of some lines of it, as the sender wrote them.
        """
        found: dict[str, Any] = await self._ask("email", "search", _given(**wanted))
        return found

    async def fetch(self, message: str, *, folder: str = "INBOX") -> bytes:
        """A whole mail, as the bytes that it is; `message` is what a search of that folder gave."""
        content, size = b"", 1
        while len(content) < size:
            asked = {"message": message, "folder": folder, "offset": len(content)}
            part = await self._ask("email", "fetch", asked)
            content, size = content + base64.b64decode(part["data"]), part["size"]
        return content


class Calendar:
    """The organisation's calendars, by CalDAV: what is below the path of the secret CALDAV_URL.

    All need `integration.calendar`. A path is one that the server gave, and where it is empty that of CALDAV_URL.
    Bodies and answers are XML and iCalendar as they stand.
    """

    def __init__(self, ask: _Ask) -> None:
        self._ask = ask

    async def propfind(self, path: str, body: str, *, depth: int = 1) -> str:
        """The answer, XML, to a PROPFIND: properties of a collection (0), and of what is in it (1)."""
        return str((await self._ask("calendar", "propfind", {"path": path, "body": body, "depth": depth}))["text"])

    async def report(self, path: str, body: str) -> str:
        """The answer, XML, to a REPORT such as a `calendar-query`."""
        return str((await self._ask("calendar", "report", {"path": path, "body": body}))["text"])

    async def get(self, path: str) -> dict[str, str]:
        """An event as iCalendar: `{"text", "etag"}`."""
        found: dict[str, str] = await self._ask("calendar", "get", {"path": path})
        return found

    async def put(self, path: str, body: str, *, etag: str | None = None) -> dict[str, str]:
        """Write an event: `{"etag"}`, empty where the server wrote it otherwise. Raises BrokerError EVENT_CHANGED.

        Without an `etag` it has to be new, with one it has to be as it was when it had that.
        """
        put: dict[str, str] = await self._ask("calendar", "put", _given(path=path, body=body, etag=etag))
        return {"etag": put["etag"]}

    async def delete(self, path: str, *, etag: str | None = None) -> None:
        """Remove an event, with an `etag` only as it was then. Raises BrokerError EVENT_CHANGED."""
        await self._ask("calendar", "delete", _given(path=path, etag=etag))


def _statement(sql: str, params: Sequence[Any], connection: str) -> dict[str, Any]:
    return _given(sql=sql, params=list(params), connection=connection or None)


def _attached(attachment: Mapping[str, Any]) -> dict[str, Any]:
    data = attachment.get("data")
    if data is None:
        return dict(attachment)
    raw = data.encode() if isinstance(data, str) else bytes(data)
    return {**attachment, "data": base64.b64encode(raw).decode()}


def _given(**arguments: Any) -> dict[str, Any]:
    """The arguments that were given."""
    return {name: value for name, value in arguments.items() if value is not None}
