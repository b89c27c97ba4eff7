"""The service `ai`: the organisation's model, at any endpoint that speaks as OpenAI does.

The host is that of the setting AI_URL, so setting it grants it; AI_KEY goes there and nowhere else. No redirect is
followed. Tokens are counted as the endpoint counts them, for the execution's usage, its budget and its span.
"""

import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from opentelemetry import trace

from hardpoint_executor.broker.denial import BrokerDenied, DenialCode, Quoting
from hardpoint_executor.broker.http import Answer, HttpClient
from hardpoint_executor.broker.means import Means, invalid, no_method, text_of
from hardpoint_executor.broker.policy import Target, check_headers, parse_url
from hardpoint_executor.broker.scrub import Unfit
from hardpoint_kit.documents import read_json

URL: Final = "AI_URL"
KEY: Final = "AI_KEY"
MODEL: Final = "AI_MODEL"
EMBEDDING_MODEL: Final = "AI_EMBEDDING_MODEL"

MOST_TEXTS: Final = 256
"""Of one `embed`."""
_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool"})
_IMAGE: Final = re.compile(r"data:image/[a-z0-9.+-]+;base64,")
_FENCED: Final = re.compile(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", re.DOTALL)


class Ai:
    """The service `ai` of one execution."""

    def __init__(self, means: Means, http: HttpClient) -> None:
        self._means = means
        self._http = http

    async def ask(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """Answer with a JSON value; raises BrokerDenied."""
        match method:
            case "chat":
                return await self._chat(arguments)
            case "embed":
                return await self._embed(arguments)
            case _:
                raise no_method("ai", method, "chat or embed")

    async def _chat(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        messages = [_message(message) for message in _messages(arguments)]
        permissions = ["ai.call"] + (["ai.vision"] if any(map(_has_image, messages)) else [])
        for permission in permissions:
            self._means.permit(permission, "an image" if permission == "ai.vision" else "a model")
        asked: dict[str, Any] = {"model": self._model(arguments, MODEL), "messages": messages}
        if tools := arguments.get("tools"):
            asked["tools"] = _tools(tools)
        schema = arguments.get("schema")
        if schema is not None:
            if not isinstance(schema, Mapping):
                raise invalid("schema is not an object", "pass a JSON Schema")
            asked["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        if (most := arguments.get("max_tokens")) is not None:
            if not isinstance(most, int) or isinstance(most, bool) or most < 1:
                raise invalid("max_tokens is not a number of tokens", "use 1 or more")
            asked["max_tokens"] = most
        said = await self._ask("chat", "/chat/completions", asked, permissions)
        return _answer(said, wants_data=schema is not None)

    async def _embed(self, arguments: Mapping[str, Any]) -> list[list[float]]:
        self._means.permit("ai.embedding", "an embedding")
        texts = arguments.get("texts")
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
            raise invalid("texts is not a list of texts", "pass one text or more, none of them empty")
        if len(texts) > MOST_TEXTS:
            raise invalid(f"there are {len(texts)} texts, {MOST_TEXTS} are allowed", "pass fewer at once")
        asked = {"model": self._model(arguments, EMBEDDING_MODEL), "input": texts}
        said = await self._ask("embeddings", "/embeddings", asked, ["ai.embedding"])
        found = said.get("data")
        if not isinstance(found, list) or len(found) != len(texts):
            raise _not_understood("it has no vector for each text")
        vectors: dict[Any, Any] = {
            part.get("index", place): part.get("embedding")
            for place, part in enumerate(found)
            if isinstance(part, dict)
        }
        ordered = [vectors.get(place) for place in range(len(texts))]
        if not all(isinstance(vector, list) for vector in ordered):
            raise _not_understood("it has no vector for each text")
        return ordered  # type: ignore[return-value]

    async def _ask(self, operation: str, path: str, asked: Mapping[str, Any], permissions: list[str]) -> dict[str, Any]:
        means = self._means
        target = self._target(path)
        headers = {"content-type": "application/json", "accept": "application/json"}
        headers["authorization"] = f"Bearer {means.secret(KEY, 'a model')}"
        try:
            check_headers(headers)
        except BrokerDenied:
            fix = "set it again, without spaces or line breaks"
            raise _unusable(KEY, "holds a character that no key has", fix) from None
        body = json.dumps(asked).encode()
        if len(body) > means.limits.request_bytes:
            most = means.limits.request_bytes
            message = f"the request is larger than {most} bytes"
            raise BrokerDenied(DenialCode.REQUEST_TOO_LARGE, message, "send less at once", limit=str(most))
        self._check_tokens()
        means.spend_call(*permissions)
        send = partial(self._send, operation, target, headers, asked, body)
        said: dict[str, Any] = await means.outside(
            "ai", operation, asked, partial(means.effects.answered, [target.url, operation, asked], send)
        )
        self._count(said, trace.get_current_span())
        return said

    async def _send(
        self, operation: str, target: Target, headers: Mapping[str, str], asked: Mapping[str, Any], body: bytes
    ) -> dict[str, Any]:
        means = self._means
        span = trace.get_current_span()
        span.set_attributes({"gen_ai.operation.name": operation, "gen_ai.request.model": self._named(asked["model"])})
        means.usage.bytes_sent += len(body)
        async with means.within(means.limits.model_seconds, f"host {target.host}", "ask for less, or try again later"):
            answer = await self._http.send(means.owner, "POST", target, headers, body, means.limits.model_bytes)
        means.usage.bytes_received += answer.received
        return await self._read(answer, target)

    async def _read(self, answer: Answer, target: Target) -> dict[str, Any]:
        try:
            text = await self._means.outlet.answer(answer.body)
        except Unfit as unfit:
            raise BrokerDenied(
                DenialCode.ANSWER_HOLDS_SECRET,
                f"the answer of host {target.host} holds the secret {unfit.key} in an encoding, and is withheld",
                "ask the host for an answer that does not repeat the request",
                host=target.rule,
                secret=unfit.key,
            ) from None
        try:
            said = read_json(text.decode())
        except ValueError:
            said = None
        status = str(answer.status)
        if answer.status in (401, 403):
            raise BrokerDenied(
                DenialCode.LOGIN_REFUSED,
                f"host {target.host} refused the key",
                f"look at {KEY}, and at what it may be used for",
                setting=KEY,
                status=status,
            )
        if answer.status != 200:
            error = said.get("error") if isinstance(said, dict) else None
            words = error.get("message") if isinstance(error, dict) else error
            message = f"host {target.host} answered {status}" + (f": {words[:300]}" if isinstance(words, str) else "")
            fix = "try again later" if answer.status == 429 or answer.status >= 500 else "look at model and request"
            raise Quoting(DenialCode.UPSTREAM_ERROR, message, fix, host=target.rule, status=status)
        if not isinstance(said, dict):
            raise BrokerDenied(
                DenialCode.NOT_JSON,
                f"the answer of host {target.host} is not JSON",
                f"look at {URL}: it ends before /chat/completions, such as https://api.openai.com/v1",
                host=target.rule,
                setting=URL,
            )
        return said

    def _target(self, path: str) -> Target:
        base = self._means.setting(URL, "a model")
        if not base.startswith("https://") or "?" in base or "#" in base:
            raise _unusable(URL, "is not a URL that begins with https:// and has no query", "set it to https://host/v1")
        try:
            return parse_url(base.rstrip("/") + path)
        except BrokerDenied as denied:
            raise _unusable(URL, f"cannot be used: {denied.message}", denied.fix) from None

    def _model(self, arguments: Mapping[str, Any], setting: str) -> str:
        return text_of(arguments, "model", "") or self._means.setting(setting, "a model")

    def _named(self, model: str) -> str:
        """A model as a span may say it: a jail may call the one that it asks for anything."""
        return model[:100] if model in map(self._means.settings.get, (MODEL, EMBEDDING_MODEL)) else "_OTHER"

    def _check_tokens(self) -> None:
        usage, most = self._means.usage, self._means.limits.model_tokens
        if usage.input_tokens + usage.output_tokens >= most:
            raise BrokerDenied(
                DenialCode.BUDGET,
                f"the execution has used all of its {most} tokens",
                "ask models for less, or split the work into several actions",
                budget="model_tokens",
                limit=str(most),
            )

    def _count(self, said: Mapping[str, Any], span: trace.Span) -> None:
        usage = said.get("usage")
        counted = usage if isinstance(usage, dict) else {}
        read, written = _tokens(counted, "prompt_tokens"), _tokens(counted, "completion_tokens")
        self._means.usage.input_tokens += read
        self._means.usage.output_tokens += written
        span.set_attributes({"gen_ai.usage.input_tokens": read, "gen_ai.usage.output_tokens": written})


def _messages(arguments: Mapping[str, Any]) -> list[Any]:
    """What is asked: messages as they are, or a prompt, about an input where there is one."""
    messages, prompt = arguments.get("messages"), arguments.get("prompt")
    if (messages is None) == (prompt is None):
        raise invalid("a chat has messages, or a prompt", "pass one of the two")
    if prompt is None:
        if not isinstance(messages, list) or not messages:
            raise invalid("messages is not a list of messages", 'use [{"role": "user", "content": "..."}]')
        return messages
    prompt, about = text_of(arguments, "prompt"), arguments.get("input")
    if about is None:
        return [{"role": "user", "content": prompt}]
    text = about if isinstance(about, str) else json.dumps(about, ensure_ascii=False)
    return [{"role": "system", "content": prompt}, {"role": "user", "content": text}]


def _message(message: Any) -> dict[str, Any]:
    if not isinstance(message, Mapping) or message.get("role") not in _ROLES:
        raise invalid("a message has no role", f"use one of {', '.join(sorted(_ROLES))}")
    content, made = message.get("content"), {"role": message["role"]}
    if isinstance(content, list):
        made["content"] = [_part(part) for part in content]
    elif isinstance(content, str) or (content is None and message.get("tool_calls")):
        made["content"] = content
    else:
        raise invalid("the content of a message is no text", "pass a text, or a list of texts and images")
    if isinstance(message.get("tool_call_id"), str):
        made["tool_call_id"] = message["tool_call_id"]
    if calls := message.get("tool_calls"):
        if not isinstance(calls, list) or not all(isinstance(call, Mapping) for call in calls):
            raise invalid("tool_calls is not a list of calls", "pass on what the model answered")
        made["tool_calls"] = [
            {
                "id": str(call.get("id", "")),
                "type": "function",
                "function": {"name": str(call.get("name", "")), "arguments": json.dumps(call.get("arguments", {}))},
            }
            for call in calls
        ]
    return made


def _part(part: Any) -> dict[str, Any]:
    """A text or an image of a message. It is sent along: of a URL the endpoint would fetch what nobody granted."""
    match part:
        case {"type": "text", "text": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "image_url", "image_url": {"url": str(url), **rest}} if _IMAGE.match(url):
            detail = {"detail": rest["detail"]} if isinstance(rest.get("detail"), str) else {}
            return {"type": "image_url", "image_url": {"url": url, **detail}}
        case _:
            raise invalid(
                "a part of a message is neither a text nor an image that is sent along",
                'use {"type": "image_url", "image_url": {"url": "data:image/png;base64,..."}}',
            )


def _has_image(message: Mapping[str, Any]) -> bool:
    content = message["content"]
    return isinstance(content, list) and any(part["type"] == "image_url" for part in content)


def _tools(tools: Any) -> list[dict[str, Any]]:
    if not isinstance(tools, list) or not all(isinstance(tool, Mapping) and tool.get("name") for tool in tools):
        raise invalid("tools is not a list of tools", 'use [{"name": .., "description": .., "parameters": {..}}]')
    known = ("name", "description", "parameters")
    return [{"type": "function", "function": {key: tool[key] for key in known if key in tool}} for tool in tools]


def _answer(said: Mapping[str, Any], *, wants_data: bool) -> dict[str, Any]:
    """The first choice: `{text, data?, tool_calls?, usage}`."""
    match said.get("choices"):
        case [{"message": dict(message)}, *_]:
            pass
        case _:
            raise _not_understood("it has no message")
    text = message.get("content")
    text = text if isinstance(text, str) else ""
    usage = said.get("usage") if isinstance(said.get("usage"), dict) else {}
    answer: dict[str, Any] = {
        "text": text,
        "usage": {
            "input_tokens": _tokens(usage or {}, "prompt_tokens"),
            "output_tokens": _tokens(usage or {}, "completion_tokens"),
        },
    }
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        answer["tool_calls"] = [_call(call) for call in calls]
    elif wants_data:
        answer["data"] = _read_json(text, "the model's answer")
    return answer


def _call(call: Any) -> dict[str, Any]:
    match call:
        case {"id": str(number), "function": {"name": str(name), "arguments": str(given)}}:
            return {"id": number, "name": name, "arguments": _read_json(given or "{}", f"what the model gives {name}")}
        case _:
            raise _not_understood("a tool call has no name")


def _read_json(text: str, what: str) -> Any:
    fenced = _FENCED.fullmatch(text)
    try:
        return read_json(fenced[1] if fenced else text)
    except ValueError:
        raise BrokerDenied(
            DenialCode.NOT_JSON, f"{what[:100]} is not JSON", "ask again, say more about the form, or use another model"
        ) from None


def _tokens(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else 0


def _unusable(setting: str, why: str, fix: str) -> BrokerDenied:
    return BrokerDenied(DenialCode.SETTING_INVALID, f"{setting} {why}", fix, setting=setting)


def _not_understood(why: str) -> BrokerDenied:
    return BrokerDenied(
        DenialCode.UPSTREAM_ERROR,
        f"the endpoint of {URL} answered in a way that is not OpenAI's: {why}",
        f"look at {URL}",
        setting=URL,
    )
