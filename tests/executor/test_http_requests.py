"""What an action of kind `http` sends: rendered from its inputs, and never more than they are."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.brokers import broker_of, client_of
from executor.http_plans import HOST, failure, inputs, plan_of, run
from executor.upstream import Upstream
from hardpoint_executor.broker.fetch import FetchRequest
from hardpoint_executor.runners.http import HttpPlan
from hardpoint_kit.errors import ActionFailed, InvalidArgument
from hardpoint_manifest.model import Body, Parameter, Requirement


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
        await asyncio.Event().wait()
        yield b""

    async with Upstream(lambda _: never()) as api, client_of({HOST: api}) as client:
        with pytest.raises(ActionFailed) as failed:
            await plan_of({"timeout_seconds": 0.05}).run(broker_of(client), {}, {})
    assert failed.value.reason == "UPSTREAM_TIMEOUT"


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


@pytest.mark.parametrize(
    "call",
    [
        {"url": f"https://{HOST}/v1/{'${x}' * 100}"},
        {"url": f"https://{HOST}/v1?q={'${x}' * 100}"},
        {"method": "POST", "body": {"content": ["${x}"] * 100}},
        {"headers": {"X-All": "${x}" * 100}},
    ],
    ids=["path", "query", "body", "header"],
)
async def test_one_value_in_many_places_is_bounded_before_it_is_written(call: dict[str, Any]) -> None:
    plan = plan_of(call, inputs("x"))
    with pytest.raises(InvalidArgument) as refused:
        await run(plan, given={"x": "x" * 1_000_000})
    assert refused.value.reason == "EXPRESSION_FAILED"
    assert "too much would be made" in refused.value.message
