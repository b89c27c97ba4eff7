"""Owns what `self` offers of services that the organisation set up: its database, its model, its mail.

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
    """The organisation's mail server: the secret SMTP_URL, and EMAIL_FROM as the sender."""

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
        """Send a mail: `{"message_id": ..}`. Needs `integration.email`.

        An attachment is `{name, data, type?}`, its data text or bytes, or the handle of a stored file (`file.read`).
        """
        asked = _given(to=to, subject=subject, body=body, html=html, cc=cc, bcc=bcc, reply_to=reply_to)
        if attachments is not None:
            asked["attachments"] = [_attached(attachment) for attachment in attachments]
        sent: dict[str, str] = await self._ask("email", "send", asked)
        return sent


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
