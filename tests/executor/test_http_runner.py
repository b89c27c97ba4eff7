"""Actions of kind `http` from manifest text to output, against servers on loopback."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.brokers import broker_of, client_of
from executor.upstream import Seen, Upstream, answer, json_answer
from hardpoint_executor.broker.fetch import FetchRequest
from hardpoint_executor.runners.http import HttpPlan
from hardpoint_kit.errors import ActionFailed, HardpointError, InvalidArgument
from hardpoint_manifest.check import check
from hardpoint_manifest.load import load
from hardpoint_manifest.model import Action, Body, HttpCall, Kind, Manifest, Parameter, Requirement

EXAMPLES = Path(__file__).parents[2] / "examples"
HOST = "api.example.com"


def plan_of(
    call: Mapping[str, Any],
    inputs: tuple[Parameter, ...] = (),
    outputs: tuple[Parameter, ...] = (),
    requirements: tuple[Requirement, ...] = (),
) -> HttpPlan:
    http = HttpCall.model_validate({"url": f"https://{HOST}/v1", **call})
    action = Action(id="act", name="Act", inputs=inputs, outputs=outputs, http=http)
    manifest = Manifest(
        id="sample", name="Sample", version="1.0.0", kind=Kind.HTTP, actions=(action,), requirements=requirements
    )
    return HttpPlan.compile(action, manifest)


def inputs(*names: str) -> tuple[Parameter, ...]:
    return tuple(Parameter(name=name) for name in names)


async def run(
    plan: HttpPlan,
    response: bytes | None = None,
    given: Mapping[str, Any] | None = None,
    *,
    secrets: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    host: str = HOST,
) -> tuple[Any, Seen]:
    async with Upstream(lambda _: response or json_answer({})) as api, client_of({host: api}) as client:
        broker = broker_of(client, hosts=(host,), secrets=secrets)
        output = await plan.run(broker, given or {}, settings or {})
        return output, api.seen[-1]


async def failure(plan: HttpPlan, response: bytes, **more: Any) -> HardpointError:
    with pytest.raises(HardpointError) as failed:
        await run(plan, response, **more)
    return failed.value


def weather() -> HttpPlan:
    report = check(load((EXAMPLES / "weather-capability.yaml").read_bytes(), "weather-capability.yaml"))
    assert report.manifest is not None
    return HttpPlan.compile(report.manifest.actions[0], report.manifest)


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


# --- requests


async def test_whole_values_keep_their_type_and_absent_ones_are_left_out() -> None:
    plan = plan_of(
        {
            "method": "POST",
            "query": {"flag": "${flag}", "many": "${many}", "gone": "${gone}", "mixed": ["${flag}", "${nothing}", 7]},
            "headers": {"X-Count": "${input.count}", "X-Gone": "{{gone}}", "X-Text": "n=${count}"},
            "body": {"content": {"count": "${count}", "list": "${many}", "gone": "${gone}", "nothing": "${nothing}"}},
        },
        inputs("flag", "many", "gone", "count", "nothing"),
    )
    given_values = {"flag": True, "many": ["a b", 2, None], "count": 3, "nothing": None}
    _, seen = await run(plan, given=given_values)
    assert parse_qsl(urlsplit(seen.target).query) == [
        ("flag", "true"),
        ("many", "a b"),
        ("many", "2"),
        ("mixed", "true"),
        ("mixed", "7"),
    ]
    assert (seen.header("x-count"), seen.header("x-text"), seen.header("x-gone")) == ("3", "n=3", None)
    assert json.loads(seen.body) == {"count": 3, "list": ["a b", 2, None], "nothing": None}


async def test_settings_and_inputs_are_in_scope_and_a_setting_may_be_missing() -> None:
    plan = plan_of(
        {"query": {"region": "${REGION}", "unit": "${UNIT}", "city": "${input.city}", "days": "${days}"}},
        (Parameter(name="city", type="string", required=True), Parameter(name="days", type="integer", default=3)),
        requirements=(Requirement(key="REGION", label="Region"), Requirement(key="UNIT", label="Unit")),
    )
    _, seen = await run(plan, given={"city": "Oslo"}, settings={"REGION": "eu"})
    assert seen.target == "/v1?region=eu&city=Oslo&days=3"


@pytest.mark.parametrize(
    ("body", "content_type", "sent"),
    [
        (
            Body(kind="form", content={"a": "${x}", "b": ["1", "${gone}"]}),
            "application/x-www-form-urlencoded",
            "a=1+%26&b=1",
        ),
        (Body(kind="raw", content="<x>${x}</x>"), "text/plain; charset=utf-8", "<x>1 &</x>"),
        (Body(kind="json", content=["${x}"]), "application/json", '["1 &"]'),
    ],
)
async def test_bodies_have_their_kind(body: Body, content_type: str, sent: str) -> None:
    plan = plan_of({"method": "POST", "body": body}, inputs("x", "gone"))
    _, seen = await run(plan, given={"x": "1 &"})
    assert (seen.header("content-type"), seen.body.decode()) == (content_type, sent)


async def test_a_declared_header_is_not_overruled() -> None:
    call = {"method": "POST", "headers": {"ACCEPT": "text/csv", "content-type": "application/xml"}}
    _, seen = await run(plan_of({**call, "body": {"kind": "raw", "content": "<a/>"}}))
    assert (seen.header("accept"), seen.header("content-type")) == ("text/csv", "application/xml")


async def test_a_query_in_the_url_is_joined_with_the_parameters() -> None:
    plan = plan_of({"url": f"https://{HOST}/v1?fixed=1&q=${{x}}", "query": {"y": "2"}}, inputs("x"))
    _, seen = await run(plan, given={"x": "a&b=c#d"})
    assert seen.target == "/v1?fixed=1&q=a%26b%3Dc%23d&y=2"


@pytest.mark.parametrize("text", ["${API_KEY}", "{{API_KEY}}", "secret://API_KEY#00000000000000000000000000000000"])
async def test_an_input_is_never_a_template_nor_a_handle(text: str) -> None:
    plan = plan_of(
        {"url": f"https://{HOST}/u/${{x}}", "query": {"q": "${x}"}, "headers": {"X-X": "${x}", "X-Key": "${API_KEY}"}},
        inputs("x"),
        requirements=(Requirement(key="API_KEY", label="Key", type="secret"),),
    )
    _, seen = await run(plan, given={"x": text}, secrets={"API_KEY": "hunter2"})
    assert (seen.header("x-x"), seen.header("x-key")) == (text, "hunter2")
    assert dict(parse_qsl(urlsplit(seen.target).query)) == {"q": text}
    assert "hunter2" not in seen.target


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\x00b"])
async def test_a_line_break_in_a_header_is_refused(value: str) -> None:
    plan = plan_of({"headers": {"X-Name": "${x}"}}, inputs("x"))
    error = await failure(plan, b"", given={"x": value})
    assert isinstance(error, InvalidArgument)
    assert (error.reason, error.place) == ("HEADER_REFUSED", "headers")
    assert "X-Name" in error.message


@pytest.mark.parametrize("value", ["../admin", "..", ".", "a/../../admin", "..\\admin", "", "/.."])
async def test_a_value_cannot_climb_in_the_path(value: str) -> None:
    plan = plan_of({"url": f"https://{HOST}/users/${{x}}/posts"}, inputs("x"))
    error = await failure(plan, b"", given={"x": value})
    assert isinstance(error, InvalidArgument)
    assert (error.reason, error.place) == ("EXPRESSION_FAILED", "url")


async def test_two_values_cannot_climb_together() -> None:
    plan = plan_of({"url": f"https://{HOST}/users/${{x}}${{y}}"}, inputs("x", "y"))
    assert (await failure(plan, b"", given={"x": ".", "y": "."})).place == "url"


@pytest.mark.parametrize(
    ("value", "target"), [("a/b", "/u/a%2Fb"), ("a?b#c", "/u/a%3Fb%23c"), ("%2e%2e", "/u/%252e%252e")]
)
async def test_a_path_value_is_encoded(value: str, target: str) -> None:
    _, seen = await run(plan_of({"url": f"https://{HOST}/u/${{x}}"}, inputs("x")), given={"x": value})
    assert seen.target == target


@pytest.mark.parametrize(
    ("call", "given_values", "place"),
    [
        ({"url": f"https://{HOST}/u/${{x}}"}, {}, "url"),
        ({"url": f"https://{HOST}/u/${{x}}"}, {"x": None}, "url"),
        ({"query": {"q": "${x}"}}, {"x": {"a": 1}}, "query"),
        ({"query": {"q": "${x}"}}, {"x": [[1]]}, "query"),
        ({"query": {"q": "n=${x}"}}, {"x": None}, "query"),
        ({"headers": {"X": "${x.y}"}}, {"x": {}}, "headers"),
        ({"method": "POST", "body": {"content": {"a": "${x.y}"}}}, {"x": 1}, "body"),
    ],
)
async def test_a_value_that_fits_nowhere_names_its_place(
    call: dict[str, Any], given_values: dict[str, Any], place: str
) -> None:
    error = await failure(plan_of(call, inputs("x")), b"", given=given_values)
    assert isinstance(error, InvalidArgument)
    assert (error.reason, error.place) == ("EXPRESSION_FAILED", place)


@pytest.mark.parametrize(
    "call",
    [
        {"url": "https://${x}/v1"},
        {"url": "https://api.example.com${x}/v1"},
        {"url": "${x}"},
        {"url": "/v1"},
        {"query": {"q": "${unknown}"}},
        {"query": {"q": "${x"}},
        {"response_mapping": {"a": "data."}},
        {"success": "nope"},
        {"method": "POST", "body": {"kind": "form", "content": ["a"]}},
        {"method": "POST", "body": {"kind": "raw", "content": {"a": 1}}},
    ],
)
def test_a_call_that_cannot_work_does_not_compile(call: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as invalid:
        plan_of(call, inputs("x"))
    assert (invalid.value.reason, invalid.value.place) == ("MANIFEST_INVALID", "actions.act")


# --- what the broker refuses


async def test_a_denial_of_the_broker_keeps_its_code_and_its_fix() -> None:
    plan = plan_of({"url": "https://evil.test/"})
    error = await failure(plan, b"")
    assert isinstance(error, ActionFailed)
    assert error.reason == "HOST_NOT_GRANTED"
    assert "evil.test" in error.fix


async def test_a_call_may_be_shorter_than_the_broker_allows() -> None:
    async def never() -> Any:
        import asyncio

        await asyncio.Event().wait()
        yield b""

    async with Upstream(lambda _: never()) as api, client_of({HOST: api}) as client:
        with pytest.raises(ActionFailed) as failed:
            await plan_of({"timeout_seconds": 0.05}).run(broker_of(client), {}, {})
    assert failed.value.reason == "UPSTREAM_TIMEOUT"


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


async def test_a_number_beyond_json_is_no_output() -> None:
    assert (await failure(plan_of({}), answer(b'{"a": 1e999}'))).reason == "TYPE_MISMATCH"


async def test_a_large_output_is_refused() -> None:
    async with Upstream(lambda _: json_answer("x" * 100)) as api, client_of({HOST: api}) as client:
        with pytest.raises(ActionFailed) as failed:
            await plan_of({}).run(broker_of(client), {}, {}, output_bytes=101)
        assert failed.value.reason == "OUTPUT_LIMIT"
        assert await plan_of({}).run(broker_of(client), {}, {}, output_bytes=102) == "x" * 100


# --- whatever the input is


HOSTILE = plan_of(
    {
        "method": "POST",
        "url": f"https://{HOST}/a/${{x}}/b-${{y}}/c?q=${{x}}",
        "query": {"p": "${y}"},
        "headers": {"X-X": "${x}", "X-Y": "y ${y}"},
        "body": {"kind": "form", "content": {"f": "${x}"}},
    },
    inputs("x", "y"),
)
VALUES = st.one_of(st.text(), st.text("./\\%?#@:&= \r\n", max_size=6), st.integers(), st.booleans(), st.none())


@given(VALUES, VALUES)
def test_an_input_never_changes_host_path_length_or_headers(x: Any, y: Any) -> None:
    request = _rendered(HOSTILE, {"x": x, "y": y})
    if request is None:
        return
    url = urlsplit(request.url)
    assert (url.scheme, url.netloc, url.fragment) == ("https", HOST, "")
    segments = url.path.split("/")
    assert len(segments) == 5
    assert not {"", ".", ".."} & set(segments[1:])
    pairs = parse_qsl(url.query, keep_blank_values=True)
    assert [name for name, _ in pairs] == ["q", "p"] if y is not None else ["q"]
    assert {name.lower() for name in request.headers} <= {"accept", "content-type", "x-x", "x-y"}
    assert [name for name, _ in parse_qsl(request.body or "", keep_blank_values=True)] == ["f"]


def _rendered(plan: HttpPlan, given_values: dict[str, Any]) -> FetchRequest | None:
    try:
        return plan.request.render({"input": given_values})
    except InvalidArgument:
        return None
