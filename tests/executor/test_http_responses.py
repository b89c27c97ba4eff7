"""What an action of kind `http` makes of an answer: its declared output, or a reason why not."""

import json
from typing import Any

import pytest

from executor.brokers import broker_of, client_of
from executor.http_plans import HOST, failure, inputs, plan_of, run, weather
from executor.upstream import Upstream, answer, json_answer
from hardpoint_kit.errors import ActionFailed
from hardpoint_manifest.model import Parameter, Requirement

# --- the design document's weather example


async def test_weather() -> None:
    body = {"temp": 72, "weather": [{"main": "Sunny"}], "main": {"humidity": 45}}
    output, seen = await run(
        weather(),
        json_answer(body),
        {"location": "New York"},
        secrets={"API_KEY": "k-123456"},
        host="api.weather.com",
    )
    assert output == {"temperature": 72, "condition": "Sunny", "humidity": 45}
    assert seen.target == "/v1/current?location=New%20York"
    assert seen.header("authorization") == "Bearer k-123456"
    assert seen.header("accept") == "application/json"


@pytest.mark.parametrize(
    ("response", "reason", "says"),
    [
        (json_answer({"weather": [{"main": "Sunny"}], "main": {"humidity": 45}}), "MAPPING_MISSING", "data.temp"),
        (json_answer({"temp": 72, "weather": [], "main": {"humidity": 45}}), "MAPPING_MISSING", "data.weather[0].main"),
        (json_answer([]), "MAPPING_MISSING", "data.temp"),
        (answer(b"", 204), "MAPPING_MISSING", "data.temp"),
        (
            json_answer({"temp": "72", "weather": [{"main": "Sunny"}], "main": {"humidity": 45}}),
            "TYPE_MISMATCH",
            "outputs.temperature is declared as number, but the answer has string",
        ),
        (
            json_answer({"temp": None, "weather": [{"main": "Sunny"}], "main": {"humidity": 45}}),
            "TYPE_MISMATCH",
            "outputs.temperature is declared as number, but the answer has null",
        ),
        (answer(b"<!doctype html><title>Log in", headers={"Content-Type": "text/html"}), "NOT_JSON", "text/html"),
        (answer(b"<", headers={"Content-Type": "text/" + "x" * 20_000}), "NOT_JSON", "text/xxx"),
        (answer(b'{"temp": NaN}'), "NOT_JSON", "NaN"),
        (answer(b'{"temp": \xff}'), "NOT_JSON", "UTF-8"),
        (answer(b'{"temp": 7'), "NOT_JSON", "no content type"),
        (answer(b"[" * 100_000), "NOT_JSON", "deep"),
        (answer(b"[" * 100 + b"]" * 100), "NOT_JSON", "deep"),
        (json_answer({"message": "no such city"}, 404), "UPSTREAM_ERROR", "api.weather.com"),
        (answer(b"<h1>Bad Gateway", 502), "UPSTREAM_ERROR", "status 502"),
        (answer(b"", 301), "UPSTREAM_ERROR", "status 301"),
    ],
)
async def test_a_wrong_answer_has_a_reason_and_never_becomes_null(response: bytes, reason: str, says: str) -> None:
    error = await failure(
        weather(), response, given={"location": "Oslo"}, secrets={"API_KEY": "k-123456"}, host="api.weather.com"
    )
    assert isinstance(error, ActionFailed)
    assert error.reason == reason
    assert says in error.message
    assert len(repr((error.message, error.metadata))) < 1000, "an error is no place for what an upstream makes long"


async def test_a_missing_path_names_its_output() -> None:
    error = await failure(
        weather(), json_answer({}), given={"location": "Oslo"}, secrets={"API_KEY": "k"}, host="api.weather.com"
    )
    assert (error.place, error.metadata["path"]) == ("response_mapping.temperature", "data.temp")


async def test_a_busy_upstream_says_when_to_come_back() -> None:
    response = answer(b"{}", 503, {"Retry-After": "7"})
    error = await failure(plan_of({}), response)
    assert (error.reason, error.metadata["status"], error.retry_after) == ("UPSTREAM_ERROR", "503", 7.0)


# --- success


async def test_slack_says_ok_false_with_status_200() -> None:
    plan = plan_of(
        {
            "method": "POST",
            "url": "https://slack.com/api/chat.postMessage",
            "headers": {"Authorization": "Bearer ${SLACK_TOKEN}"},
            "body": {"content": {"channel": "{{channel}}", "text": "{{message}}"}},
            "success": "data.ok == true",
            "error": "data.error",
        },
        inputs("channel", "message"),
        requirements=(Requirement(key="SLACK_TOKEN", label="Token", type="secret"),),
    )
    told = {"channel": "#general", "message": '${SLACK_TOKEN} {{SLACK_TOKEN}} " hi'}
    output, seen = await run(
        plan, json_answer({"ok": True, "ts": "1"}), told, secrets={"SLACK_TOKEN": "xoxb-1"}, host="slack.com"
    )
    assert output == {"ok": True, "ts": "1"}
    assert json.loads(seen.body) == {"channel": "#general", "text": '${SLACK_TOKEN} {{SLACK_TOKEN}} " hi'}
    assert (seen.header("content-type"), seen.header("authorization")) == ("application/json", "Bearer xoxb-1")

    response = json_answer({"ok": False, "error": "channel_not_found"})
    error = await failure(plan, response, given=told, secrets={"SLACK_TOKEN": "xoxb-1"}, host="slack.com")
    assert error.reason == "UPSTREAM_ERROR"
    assert "channel_not_found" in error.message
    assert (error.metadata["status"], error.metadata["error"]) == ("200", "channel_not_found")


async def test_a_success_expression_may_read_status_and_headers() -> None:
    plan = plan_of({"success": 'status == 404 && headers["x-kind"] == "empty"'})
    output, _ = await run(plan, answer(b"[]", 404, {"X-Kind": "empty"}))
    assert output == []
    assert (await failure(plan, answer(b"[]", 200, {"X-Kind": "empty"}))).reason == "UPSTREAM_ERROR"


@pytest.mark.parametrize("ok", ["true", 1, None, {}])
async def test_only_true_is_success(ok: Any) -> None:
    assert (await failure(plan_of({"success": "data.ok"}), json_answer({"ok": ok}))).reason == "UPSTREAM_ERROR"


async def test_a_success_expression_without_its_value_names_the_path() -> None:
    error = await failure(plan_of({"success": "data.ok == true"}), json_answer({"error": "x"}))
    assert (error.reason, error.place, error.metadata["path"]) == ("MAPPING_MISSING", "success", "data.ok")


async def test_the_text_of_an_upstream_error_holds_no_secret() -> None:
    plan = plan_of({"error": "data.error"}, requirements=(Requirement(key="KEY", label="Key", type="secret"),))
    error = await failure(
        plan, json_answer({"error": "bad key\nhunter2-hunter2"}, 401), secrets={"KEY": "hunter2-hunter2"}
    )
    assert error.metadata["error"] == "bad key [secret KEY]"
    assert "hunter2" not in error.message


# --- outputs


async def test_without_mapping_the_whole_body_is_the_output() -> None:
    for value in ({"a": [1, None]}, [1], "text", 7, None):
        output, _ = await run(plan_of({}), json_answer(value))
        assert output == value


async def test_a_mapping_may_compute() -> None:
    plan = plan_of(
        {"response_mapping": {"n": "size(data.list)", "s": "data.s.includes('x')", "in": "input.x"}}, inputs("x")
    )
    output, _ = await run(plan, json_answer({"list": [1, 2], "s": "axb"}), {"x": 5})
    assert output == {"n": 2, "s": True, "in": 5}


@pytest.mark.parametrize(
    ("parameter", "value", "fits"),
    [
        ({"type": "string"}, "x", True),
        ({"type": "string"}, 1, False),
        ({"type": "number"}, 1.5, True),
        ({"type": "number"}, True, False),
        ({"type": "number"}, "1.5", False),
        ({"type": "integer"}, 2, True),
        ({"type": "integer"}, 2.0, True),
        ({"type": "integer"}, 2.5, False),
        ({"type": "boolean"}, False, True),
        ({"type": "boolean"}, 0, False),
        ({"type": "object"}, {}, True),
        ({"type": "object"}, [], False),
        ({"type": "array"}, [], True),
        ({"type": "array"}, {}, False),
        ({"type": "any"}, None, True),
        ({"type": "file"}, {"id": "f-1"}, True),
        ({"type": "file"}, {"name": "a.txt"}, False),
        ({"type": "string", "enum": ["a", "b"]}, "b", True),
        ({"type": "string", "enum": ["a", "b"]}, "c", False),
        ({"type": "array", "items": {"name": "item", "type": "integer"}}, [1, 2], True),
        ({"type": "array", "items": {"name": "item", "type": "integer"}}, [1, "2"], False),
        ({"type": "object", "properties": [{"name": "a", "type": "integer"}]}, {"a": 1}, True),
        ({"type": "object", "properties": [{"name": "a", "type": "integer"}]}, {"a": "1"}, False),
    ],
)
async def test_outputs_are_checked_and_never_converted(parameter: dict[str, Any], value: Any, fits: bool) -> None:
    output = Parameter.model_validate({"name": "out", **parameter})
    plan = plan_of({"response_mapping": {"out": "data.v"}}, outputs=(output,))
    if fits:
        assert (await run(plan, json_answer({"v": value})))[0] == {"out": value}
    else:
        error = await failure(plan, json_answer({"v": value}))
        assert error.reason == "TYPE_MISMATCH"
        assert error.place.startswith("outputs.out")


async def test_a_required_output_that_is_not_there_is_named() -> None:
    plan = plan_of({}, outputs=(Parameter(name="must", required=True), Parameter(name="may")))
    assert (await run(plan, json_answer({"must": 1})))[0] == {"must": 1}
    error = await failure(plan, json_answer({"may": 1}))
    assert (error.reason, error.place) == ("MAPPING_MISSING", "outputs.must")
    assert (await failure(plan, json_answer([]))).reason == "TYPE_MISMATCH"


@pytest.mark.parametrize("body", [b'{"a": 1e999}', b'{"a": "\\ud800"}'])
async def test_what_json_cannot_hold_is_no_output(body: bytes) -> None:
    assert (await failure(plan_of({}), answer(body))).reason == "TYPE_MISMATCH"


async def test_a_large_output_is_refused() -> None:
    async with Upstream(lambda _: json_answer("x" * 100)) as api, client_of({HOST: api}) as client:
        with pytest.raises(ActionFailed) as failed:
            await plan_of({}).run(broker_of(client), {}, {}, output_bytes=101)
        assert failed.value.reason == "OUTPUT_LIMIT"
        assert await plan_of({}).run(broker_of(client), {}, {}, output_bytes=102) == "x" * 100
