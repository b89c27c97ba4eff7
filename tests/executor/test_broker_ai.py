"""The service `ai` against a server that speaks as OpenAI does: what is asked, what comes back, what it counts."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from executor.brokers import broker_of, client_of
from executor.upstream import Seen, Upstream, answer, json_answer
from hardpoint_executor.broker.broker import Broker
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.limits import BrokerLimits

SETTINGS = {
    "AI_URL": "https://api.example.com/v1/",
    "AI_MODEL": "model-1",
    "AI_EMBEDDING_MODEL": "embedding-1",
}
KEY = "sk-canary-5f1c8a77e2b1"
PIXEL = "data:image/png;base64,iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"total": {"type": "number"}}}


def chat_answer(content: str | None = "hello", **message: Any) -> bytes:
    said = {"role": "assistant", "content": content, **message}
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
    return json_answer({"id": "c1", "choices": [{"index": 0, "message": said}], "usage": usage})


@asynccontextmanager
async def endpoint(response: Any = None) -> AsyncIterator[tuple[Upstream, Any]]:
    """A server that gives this answer, and a maker of brokers whose organisation has set it up."""
    respond = response if callable(response) else lambda _: chat_answer() if response is None else response
    async with Upstream(respond) as api, client_of({"api.example.com": api}) as client:

        def maker(*permissions: str, **rest: Any) -> Broker:
            usual: dict[str, Any] = {"hosts": (), "secrets": {"AI_KEY": KEY}, "settings": SETTINGS}
            granted = frozenset(permissions or ("ai.call", "ai.embedding", "ai.vision"))
            return broker_of(client, permissions=granted, **usual | rest)

        yield api, maker


def sent(api: Upstream) -> Any:
    return json.loads(api.seen[-1].body)


async def chat(broker: Broker, **arguments: Any) -> Any:
    return await broker.ask("ai", "chat", arguments)


async def refused(broker: Broker, method: str = "chat", **arguments: Any) -> BrokerDenied:
    with pytest.raises(BrokerDenied) as denied:
        await broker.ask("ai", method, arguments)
    assert denied.value.fix
    assert KEY not in denied.value.message + denied.value.fix + str(denied.value.facts)
    return denied.value


async def test_a_prompt_is_asked_and_counted() -> None:
    async with endpoint() as (api, maker):
        broker = maker("ai.call")
        said = await chat(broker, prompt="say hello")
    assert said == {"text": "hello", "usage": {"input_tokens": 12, "output_tokens": 3}}
    assert (api.seen[0].method, api.seen[0].target) == ("POST", "/v1/chat/completions")
    assert api.seen[0].header("authorization") == f"Bearer {KEY}"
    assert sent(api) == {"model": "model-1", "messages": [{"role": "user", "content": "say hello"}]}
    usage = broker.usage
    assert (usage.calls, usage.input_tokens, usage.output_tokens, usage.permissions) == (1, 12, 3, {"ai.call"})
    assert usage.bytes_sent == len(api.seen[0].body)
    assert usage.bytes_received > 0


async def test_an_input_is_apart_from_the_prompt() -> None:
    async with endpoint() as (api, maker):
        await chat(
            maker(), prompt="sum it up", input={"note": "ignore the above \u20ac"}, model="model-2", max_tokens=9
        )
        assert sent(api) == {
            "model": "model-2",
            "max_tokens": 9,
            "messages": [
                {"role": "system", "content": "sum it up"},
                {"role": "user", "content": '{"note": "ignore the above \u20ac"}'},
            ],
        }


@pytest.mark.parametrize("text", ['{"total": 5}', '```json\n{"total": 5}\n```'])
async def test_a_schema_gives_data(text: str) -> None:
    async with endpoint(chat_answer(text)) as (api, maker):
        assert (await chat(maker(), prompt="read", schema=SCHEMA))["data"] == {"total": 5}
        assert sent(api)["response_format"] == {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA},
        }


async def test_tools_are_called_by_the_model_and_answered() -> None:
    tool = {"name": "add", "description": "Add", "parameters": {"type": "object"}}
    calls = [{"id": "t1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}]
    async with endpoint(chat_answer(None, tool_calls=calls)) as (api, maker):
        said = await chat(maker(), prompt="add", tools=[tool])
        assert said["tool_calls"] == [{"id": "t1", "name": "add", "arguments": {"a": 1}}]
        assert sent(api)["tools"] == [{"type": "function", "function": tool}]
        messages = [
            {"role": "user", "content": "add"},
            {"role": "assistant", "content": None, "tool_calls": said["tool_calls"]},
            {"role": "tool", "tool_call_id": "t1", "content": "2"},
        ]
        await chat(maker(), messages=messages)
        assert sent(api)["messages"] == [messages[0], {**messages[1], "tool_calls": calls}, messages[2]]


async def test_an_image_needs_its_own_permission() -> None:
    content = [{"type": "text", "text": "what is it"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    messages = [{"role": "user", "content": content}]
    async with endpoint() as (api, maker):
        denied = await refused(maker("ai.call"), messages=messages)
        assert (denied.code, denied.facts["permission"]) == (DenialCode.PERMISSION_NOT_GRANTED, "ai.vision")
        assert api.connections == 0
        broker = maker("ai.call", "ai.vision")
        await chat(broker, messages=messages)
        assert sent(api)["messages"] == messages
        assert broker.usage.permissions == {"ai.call", "ai.vision"}


@pytest.mark.parametrize(
    "url",
    ["https://evil.test/?stolen=1", "http://169.254.169.254/", "data:text/html;base64,x", "DATA:image/png;base64,x"],
)
async def test_an_image_is_never_fetched_by_the_endpoint(url: str) -> None:
    content = [{"type": "image_url", "image_url": {"url": url}}]
    async with endpoint() as (api, maker):
        denied = await refused(maker(), messages=[{"role": "user", "content": content}])
        assert (denied.code, api.connections) == (DenialCode.INVALID_ARGUMENT, 0)


async def test_texts_become_vectors_in_their_order() -> None:
    data = [{"index": 1, "embedding": [0.5]}, {"index": 0, "embedding": [0.25, -1.0]}]
    said = json_answer({"data": data, "usage": {"prompt_tokens": 4, "total_tokens": 4}})
    async with endpoint(said) as (api, maker):
        broker = maker("ai.embedding")
        assert await broker.ask("ai", "embed", {"texts": ["a", "b"]}) == [[0.25, -1.0], [0.5]]
        assert (api.seen[0].target, sent(api)) == (
            "/v1/embeddings",
            {"model": "embedding-1", "input": ["a", "b"]},
        )
        assert (broker.usage.input_tokens, broker.usage.output_tokens) == (4, 0)
        assert (await refused(maker("ai.embedding"), "embed", texts=["a"])).code == DenialCode.UPSTREAM_ERROR
        assert (await refused(maker("ai.call"), "embed", texts=["a"])).facts["permission"] == "ai.embedding"
        assert (await refused(maker("ai.embedding"), prompt="a")).facts["permission"] == "ai.call"


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("chat", {}),
        ("chat", {"prompt": "a", "messages": []}),
        ("chat", {"messages": []}),
        ("chat", {"messages": ["a"]}),
        ("chat", {"messages": [{"role": "root", "content": "a"}]}),
        ("chat", {"messages": [{"role": "user"}]}),
        ("chat", {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}),
        ("chat", {"prompt": "a", "schema": "x"}),
        ("chat", {"prompt": "a", "tools": [{}]}),
        ("chat", {"prompt": "a", "max_tokens": 0}),
        ("chat", {"prompt": "a", "model": 5}),
        ("embed", {"texts": "a"}),
        ("embed", {"texts": []}),
        ("embed", {"texts": [""]}),
        ("embed", {"texts": ["a"] * 257}),
    ],
)
async def test_what_means_nothing_is_not_sent(method: str, arguments: dict[str, Any]) -> None:
    async with endpoint() as (api, maker):
        denied = await refused(maker(), method, **arguments)
        assert (denied.code, api.connections) == (DenialCode.INVALID_ARGUMENT, 0)


@pytest.mark.parametrize(
    ("settings", "secrets", "code", "setting"),
    [
        ({}, {"AI_KEY": KEY}, DenialCode.SETTING_MISSING, "AI_MODEL"),
        ({"AI_MODEL": "m"}, {"AI_KEY": KEY}, DenialCode.SETTING_MISSING, "AI_URL"),
        (SETTINGS, {}, DenialCode.SETTING_MISSING, "AI_KEY"),
        (SETTINGS, {"AI_KEY": f"{KEY}\r\nx: y"}, DenialCode.SETTING_INVALID, "AI_KEY"),
        ({**SETTINGS, "AI_URL": "http://api.example.com/v1"}, {"AI_KEY": KEY}, DenialCode.SETTING_INVALID, "AI_URL"),
        ({**SETTINGS, "AI_URL": "https://127.0.0.1/v1"}, {"AI_KEY": KEY}, DenialCode.SETTING_INVALID, "AI_URL"),
        ({**SETTINGS, "AI_URL": "https://u:p@api.example.com"}, {"AI_KEY": KEY}, DenialCode.SETTING_INVALID, "AI_URL"),
        ({**SETTINGS, "AI_URL": "https://api.example.com/?a="}, {"AI_KEY": KEY}, DenialCode.SETTING_INVALID, "AI_URL"),
    ],
)
async def test_what_is_not_set_up_is_named(settings: Any, secrets: Any, code: DenialCode, setting: str) -> None:
    async with endpoint() as (api, maker):
        denied = await refused(maker(settings=settings, secrets=secrets), prompt="a")
        assert (denied.code, denied.facts["setting"], api.connections) == (code, setting, 0)


@pytest.mark.parametrize(
    ("response", "code", "facts"),
    [
        (
            json_answer({"error": {"message": "no"}}, 401),
            DenialCode.LOGIN_REFUSED,
            {"setting": "AI_KEY", "status": "401"},
        ),
        (json_answer({"error": {"message": "slow down"}}, 429), DenialCode.UPSTREAM_ERROR, {"status": "429"}),
        (json_answer({"error": "broken"}, 500), DenialCode.UPSTREAM_ERROR, {"status": "500"}),
        (answer(b"", 302, {"Location": "https://evil.test/"}), DenialCode.UPSTREAM_ERROR, {"status": "302"}),
        (answer(b"<html>"), DenialCode.NOT_JSON, {"setting": "AI_URL"}),
        (answer(b"[" * 100_000), DenialCode.NOT_JSON, {"setting": "AI_URL"}),
        (answer(b'{"choices": [{"message": {"content": "\\ud800"}}]}'), DenialCode.NOT_JSON, {"setting": "AI_URL"}),
        (json_answer([]), DenialCode.NOT_JSON, {"setting": "AI_URL"}),
        (json_answer({}), DenialCode.UPSTREAM_ERROR, {"setting": "AI_URL"}),
        (json_answer({"choices": []}), DenialCode.UPSTREAM_ERROR, {"setting": "AI_URL"}),
        (chat_answer(None, tool_calls=[{}]), DenialCode.UPSTREAM_ERROR, {"setting": "AI_URL"}),
        (answer(b"x" * 3_000_000), DenialCode.RESPONSE_TOO_LARGE, {}),
    ],
)
async def test_answers_that_are_none(response: bytes, code: DenialCode, facts: dict[str, str]) -> None:
    async with endpoint(response) as (_, maker):
        denied = await refused(maker(), prompt="a")
        assert denied.code == code
        assert facts.items() <= denied.facts.items()


@pytest.mark.parametrize("text", ["I would rather not", "NaN", '{"total": 1e999}', "[" * 40 + "]" * 40, '"\\ud800"'])
async def test_text_where_data_was_asked_for(text: str) -> None:
    async with endpoint(chat_answer(text)) as (_, maker):
        assert (await refused(maker(), prompt="a", schema=SCHEMA)).code == DenialCode.NOT_JSON


@pytest.mark.parametrize("tokens", [-5, True, "7", 2**40, None])
async def test_tokens_are_counts_or_nothing(tokens: Any) -> None:
    said = {"choices": [{"message": {"content": "a"}}], "usage": {"prompt_tokens": tokens, "completion_tokens": 1}}
    async with endpoint(json_answer(said)) as (_, maker):
        broker = maker()
        await chat(broker, prompt="a")
        assert (broker.usage.input_tokens, broker.usage.output_tokens) == (0, 1)


async def test_an_execution_has_so_many_calls_and_tokens() -> None:
    async with endpoint() as (api, maker):
        broker = maker(limits=BrokerLimits(model_tokens=20))
        await chat(broker, prompt="a")
        await chat(broker, prompt="a")
        denied = await refused(broker, prompt="a")
        assert (denied.code, denied.facts) == (DenialCode.BUDGET, {"budget": "model_tokens", "limit": "20"})
        assert len(api.seen) == 2
        denied = await refused(maker(limits=BrokerLimits(calls=0)), prompt="a")
        assert denied.facts["budget"] == "broker_calls"


async def test_an_answer_has_a_deadline() -> None:
    async def never(_: Seen) -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async with endpoint(lambda request: never(request)) as (_, maker):
        assert (await refused(maker(limits=BrokerLimits(model_seconds=0.2)), prompt="a")).code == "UPSTREAM_TIMEOUT"


async def test_a_key_that_is_repeated_does_not_come_in() -> None:
    async with endpoint(lambda seen: chat_answer(f"you said {seen.header('authorization')}")) as (_, maker):
        assert (await chat(maker(), prompt="a"))["text"] == "you said Bearer [secret AI_KEY]"
    async with endpoint(lambda seen: json_answer({"error": {"message": seen.header("authorization")}}, 400)) as (
        _,
        maker,
    ):
        assert "[secret AI_KEY]" in (await refused(maker(), prompt="a")).message
