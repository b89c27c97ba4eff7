"""API connectors as they run: credentials, what an answer means, and what is asked again."""

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.brokers import broker_of, client_of
from executor.http_plans import EXAMPLES, HOST
from executor.upstream import Seen, Upstream, answer, json_answer
from hardpoint_executor.broker.limits import BrokerLimits
from hardpoint_executor.broker.secrets import Secret
from hardpoint_executor.runners.http import HttpPlan
from hardpoint_executor.runners.http.basic import KEY
from hardpoint_executor.runners.http.repeats import MOST_WAIT, retry_after
from hardpoint_kit.errors import ActionFailed, HardpointError, InvalidArgument
from hardpoint_manifest.check import check
from hardpoint_manifest.load import load

TOKEN = "xoxb-never-to-be-seen-7c1d"


def plan_of(endpoint: Mapping[str, Any] | None = None, **api: Any) -> HttpPlan:
    """The one endpoint of a connector at HOST."""
    capability = {
        "id": "probe",
        "version": "1.0.0",
        "type": "api-connector",
        "api": {"base_url": f"https://{HOST}/v1", **api},
        "endpoints": [{"id": "act", "path": "/items", **(endpoint or {})}],
    }
    return _first(json.dumps({"capability": capability}).encode(), "probe.json")


def slack(action: str) -> HttpPlan:
    return _first((EXAMPLES / "slack-integration.json").read_bytes(), "slack-integration.json", action)


def _first(data: bytes, filename: str, action: str = "act") -> HttpPlan:
    report = check(load(data, filename))
    assert report.ok, report.findings
    assert report.manifest is not None
    found = report.manifest.action(action)
    assert found is not None
    return HttpPlan.compile(found, report.manifest)


Answers = Callable[[Seen], bytes]


async def run(
    plan: HttpPlan,
    answers: bytes | list[bytes] | Answers,
    given_values: Mapping[str, Any] | None = None,
    *,
    secrets: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    host: str = HOST,
    limits: BrokerLimits | None = None,
    key: str = "",
) -> tuple[Any, list[Seen]]:
    """The output, or the error that it ends with, and what the upstream saw."""
    values = dict(secrets or {})
    made = plan.made({key: Secret(value, frozenset({host})) for key, value in values.items()}, settings or {})
    values |= {key: secret.value for key, secret in made.items()}
    async with Upstream(_one_by_one(answers)) as api, client_of({host: api}) as client:
        broker = broker_of(client, hosts=(host,), secrets=values, limits=limits, idempotency_key=key)
        try:
            output = await plan.run(broker, given_values or {}, settings or {})
        except HardpointError as error:
            output = broker.outlet.error(error)
        assert not api.seen or broker.usage.calls == len(api.seen), "every attempt is a call"
        return output, api.seen


def _one_by_one(answers: bytes | list[bytes] | Answers) -> Answers:
    if callable(answers):
        return answers
    waiting: Iterator[bytes] = iter(answers if isinstance(answers, list) else [answers])
    return lambda _: next(waiting)


# --- the design document's Slack example


async def test_slack_gets_the_token_and_the_message() -> None:
    told = {"channel": "#general", "message": "${ACCESS_TOKEN} hi"}
    output, (seen,) = await run(
        slack("send-message"),
        json_answer({"ok": True, "ts": "1.2"}),
        told,
        secrets={"ACCESS_TOKEN": TOKEN},
        host="slack.com",
    )
    assert output == {"ok": True, "ts": "1.2"}
    assert (seen.method, seen.target) == ("POST", "/api/chat.postMessage")
    assert seen.header("authorization") == f"Bearer {TOKEN}"
    assert json.loads(seen.body) == {"channel": "#general", "text": "${ACCESS_TOKEN} hi"}


@pytest.mark.parametrize("status", [200, 429])
async def test_slack_says_in_ok_that_it_failed_and_in_error_why(status: int) -> None:
    error, _ = await run(
        slack("send-message"),
        json_answer({"ok": False, "error": "channel_not_found"}, status),
        {"channel": "c", "message": "m"},
        secrets={"ACCESS_TOKEN": TOKEN},
        host="slack.com",
    )
    assert isinstance(error, ActionFailed)
    assert (error.reason, error.metadata["error"]) == ("UPSTREAM_ERROR", "channel_not_found")
    assert error.message == f"slack.com answered that the call failed, with status {status}: channel_not_found"


@pytest.mark.parametrize(
    ("response", "reason", "says"),
    [
        (json_answer({"channels": []}), "MAPPING_MISSING", "data.ok"),
        (json_answer({"ok": "true", "error": "odd"}), "UPSTREAM_ERROR", "odd"),
        (json_answer([], 503), "UPSTREAM_ERROR", "status 503"),
        (answer(b"<html>", 502), "UPSTREAM_ERROR", "status 502"),
        (answer(b"<html>"), "NOT_JSON", "<html>"),
    ],
)
async def test_an_answer_that_does_not_say_ok_is_no_success(response: bytes, reason: str, says: str) -> None:
    error, _ = await run(slack("list-channels"), response, secrets={"ACCESS_TOKEN": TOKEN}, host="slack.com")
    assert isinstance(error, ActionFailed)
    assert error.reason == reason
    assert says in error.message


async def test_a_success_may_be_what_the_status_calls_a_failure() -> None:
    plan = plan_of({"success": "status == 200 || status == 404", "response_mapping": {"found": "status == 200"}})
    assert (await run(plan, json_answer({}, 404)))[0] == {"found": False}
    error, _ = await run(plan, json_answer({}, 400))
    assert error.reason == "UPSTREAM_ERROR"


# --- credentials


@pytest.mark.parametrize(
    ("auth", "header", "target"),
    [
        ({"type": "bearer"}, ("authorization", f"Bearer {TOKEN}"), "/v1/items"),
        ({"type": "api_key", "name": "X-Key"}, ("x-key", TOKEN), "/v1/items"),
        ({"type": "api_key", "name": "key", "in": "query"}, ("x-key", None), f"/v1/items?key={TOKEN}"),
        ({"type": "none"}, ("authorization", None), "/v1/items"),
    ],
)
async def test_a_credential_has_its_place(auth: dict[str, str], header: tuple[str, str | None], target: str) -> None:
    plan = plan_of(auth=auth)
    _, (seen,) = await run(plan, json_answer({}), secrets={"API_TOKEN": TOKEN, "API_KEY": TOKEN})
    assert (seen.header(header[0]), seen.target) == (header[1], target)


@pytest.mark.parametrize(
    ("auth", "secrets", "settings", "sent"),
    [
        ({}, {"USERNAME": "ada", "PASSWORD": 'pä:"ss}'}, {}, 'ada:pä:"ss}'),
        ({"username": "ada"}, {"PASSWORD": "hunter22"}, {}, "ada:hunter22"),
        ({"username": "${KEY}", "password": ""}, {"KEY": "sk-12345"}, {}, "sk-12345:"),
        ({"username": "${MAIL}/token"}, {"PASSWORD": "hunter22"}, {"MAIL": "a@b.test"}, "a@b.test/token:hunter22"),
    ],
)
async def test_a_name_and_a_password_are_sent_encoded(
    auth: dict[str, str], secrets: dict[str, str], settings: dict[str, str], sent: str
) -> None:
    plan = _with_settings({"type": "basic", **auth}, settings)
    _, (seen,) = await run(plan, json_answer({}), secrets=secrets, settings=settings)
    scheme, value = (seen.header("authorization") or "").split(" ")
    assert (scheme, base64.b64decode(value).decode()) == ("Basic", sent)


@pytest.mark.parametrize(
    "secrets", [{}, {"USERNAME": "ada"}, {"PASSWORD": "hunter22"}, {"USERNAME": "a:da", "PASSWORD": "hunter22"}]
)
async def test_half_a_credential_is_not_sent(secrets: dict[str, str]) -> None:
    error, seen = await run(plan_of(auth={"type": "basic"}), [], secrets=secrets)
    assert isinstance(error, InvalidArgument)
    assert (error.place, seen) == ("headers", [])
    assert "hunter22" not in repr((error.message, error.metadata))


def test_what_is_made_of_two_secrets_goes_where_both_may() -> None:
    plan = plan_of(auth={"type": "basic"})
    name = Secret("ada", frozenset({HOST, "other.example.com"}), "/a")
    made = plan.made({"USERNAME": name, "PASSWORD": Secret("hunter22", frozenset({HOST}), "/b")}, {})
    assert made[KEY].hosts == {HOST}
    assert plan.made({"USERNAME": name, "PASSWORD": Secret("x", frozenset({"third.test"}))}, {})[KEY].hosts == set()


def test_what_would_be_made_of_a_secret_that_is_no_text_says_which() -> None:
    plan = plan_of(auth={"type": "basic"})
    password = Secret("", frozenset({HOST}), no_text="PASSWORD")
    secrets = {"USERNAME": Secret("ada", frozenset({HOST})), "PASSWORD": password}
    made = plan.made(secrets, {})[KEY]
    assert (made.no_text, made.value) == ("PASSWORD", "")


@pytest.mark.parametrize("password", ["hunter22", "four"])
async def test_an_upstream_that_repeats_the_encoded_credential_gives_away_nothing(password: str) -> None:
    def repeats(seen: Seen) -> bytes:
        return json_answer({"you sent": seen.header("authorization")})

    plan = plan_of(auth={"type": "basic", "username": "ada"})
    output, (seen,) = await run(plan, repeats, secrets={"PASSWORD": password})
    sent = (seen.header("authorization") or "").removeprefix("Basic ")
    assert base64.b64decode(sent) == f"ada:{password}".encode()
    assert sent not in repr(output)
    assert password not in repr(output)


# --- paths


PATHS = plan_of({"path": "/{{a}}/x-{{b}}", "inputs": {"a": {"required": True}, "b": {"required": True}}})
STEPS = st.text("./\\%25eEfF?#;@:a ", min_size=0, max_size=8)


@given(STEPS | st.text(), STEPS | st.text())
def test_a_value_stays_in_its_segment_below_the_base_url(a: str, b: str) -> None:
    try:
        url = PATHS.request.render({"input": {"a": a, "b": b}}).url
    except InvalidArgument:
        return
    path = url.removeprefix(f"https://{HOST}")
    assert path.startswith("/v1/")
    assert path.count("/") == 3
    assert not set("?#\\ ") & set(path)


@pytest.mark.parametrize("value", ["../x", "..", ".", "a/../../b", "..\\x"])
def test_a_value_that_climbs_is_refused(value: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        PATHS.request.render({"input": {"a": value, "b": "c"}})
    assert refused.value.place == "url"


@pytest.mark.parametrize(
    ("value", "sent"), [("%2f..%2f..", "%252f..%252f.."), ("a?b#c", "a%3Fb%23c"), ("a/b", "a%2Fb")]
)
def test_a_value_is_one_segment(value: str, sent: str) -> None:
    url = PATHS.request.render({"input": {"a": value, "b": "c"}}).url
    assert url == f"https://{HOST}/v1/{sent}/x-c"


# --- asking again

LATER = answer(b"{}", 503, {"Retry-After": "0"})


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_what_does_the_same_again_is_asked_until_it_is_answered(method: str) -> None:
    plan = plan_of({"method": method, "retry": 3})
    output, seen = await run(plan, [LATER, LATER, answer(b"")])
    assert (output, [one.method for one in seen]) == (None, [method] * 3)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_what_would_happen_twice_is_asked_once(method: str) -> None:
    error, seen = await run(plan_of({"method": method}, retry=3), [LATER])
    assert (error.reason, error.metadata["status"], len(seen)) == ("UPSTREAM_ERROR", "503", 1)


async def test_a_key_tells_the_upstream_that_it_is_the_same_request() -> None:
    plan = plan_of({"method": "POST", "retry": 2, "idempotency": {"header": "Idempotency-Key"}})
    output, first = await run(plan, [LATER, LATER, json_answer({"done": True})])
    _, second = await run(plan, [json_answer({})])
    keys = [{one.header("idempotency-key") for one in seen} for seen in (first, second)]
    assert output == {"done": True}
    assert [len(key) for key in keys] == [1, 1]
    assert None not in keys[0] | keys[1]
    assert keys[0] != keys[1]


@pytest.mark.parametrize("lost", [b"", b"nonsense\r\n\r\n"])
async def test_an_answer_that_does_not_come_is_asked_for_again(lost: bytes) -> None:
    output, seen = await run(plan_of({"retry": 1}), [lost, json_answer(7)], limits=BrokerLimits(call_seconds=0.3))
    assert (output, len(seen)) == (7, 2)
    error, seen = await run(plan_of({"method": "POST"}, retry=1), [lost], limits=BrokerLimits(call_seconds=0.3))
    assert error.reason in {"UPSTREAM_TIMEOUT", "UPSTREAM_ERROR"}
    assert len(seen) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 500, 501])
async def test_an_answer_that_will_not_change_is_the_answer(status: int) -> None:
    error, seen = await run(plan_of({"retry": 3}), [json_answer({}, status)])
    assert (error.reason, len(seen)) == ("UPSTREAM_ERROR", 1)


async def test_a_refusal_of_the_broker_is_not_asked_again() -> None:
    plan = plan_of({"retry": 3, "headers": {"X-A": "${input.a}"}, "inputs": {"a": {"required": True}}})
    error, seen = await run(plan, [], {"a": "b\nc"})
    assert (error.reason, seen) == ("HEADER_REFUSED", [])


async def test_no_more_attempts_than_were_asked_for_and_than_there_are_calls() -> None:
    error, seen = await run(plan_of({"retry": 2}), [LATER] * 3)
    assert (error.reason, error.metadata["status"], len(seen)) == ("UPSTREAM_ERROR", "503", 3)
    error, seen = await run(plan_of({"retry": 5}), [LATER] * 2, limits=BrokerLimits(calls=2))
    assert (error.reason, error.metadata["status"], len(seen)) == ("UPSTREAM_ERROR", "503", 2)


async def test_who_asks_to_wait_for_longer_than_the_cap_is_told_on() -> None:
    late = answer(b"{}", 429, {"Retry-After": f"{MOST_WAIT + 1:.0f}"})
    error, seen = await run(plan_of({"retry": 3}), [late], limits=BrokerLimits(wall_seconds=600))
    assert (error.reason, error.retry_after, len(seen)) == ("UPSTREAM_ERROR", MOST_WAIT + 1, 1)


async def test_who_asks_to_wait_for_a_week_is_not_asked_again_at_once() -> None:
    late = answer(b"{}", 429, {"Retry-After": "604800"})
    error, seen = await run(plan_of({"retry": 3}), [late])
    assert (error.reason, error.retry_after, len(seen)) == ("UPSTREAM_ERROR", 99_999, 1)


async def test_nobody_waits_beyond_the_end_of_the_execution() -> None:
    late = answer(b"{}", 503, {"Retry-After": "2"})
    error, seen = await run(plan_of({"retry": 3}), [late], limits=BrokerLimits(wall_seconds=1))
    assert (error.retry_after, len(seen)) == (2, 1)


def test_a_wait_is_a_number_or_a_date() -> None:
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}) == 0
    assert retry_after({"retry-after": "604800"}) == retry_after({"retry-after": "9" * 5000}) == 99_999
    for unreadable in ("", "soon", "-1", "1e9", "٣"):
        assert retry_after({"retry-after": unreadable}) is None
    later = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600))
    assert 3500 < (retry_after({"retry-after": later}) or 0) <= 3600


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,9} Jan [0-9]{1,9} 00:00:00 [-+A-Z0-9]{0,30}", fullmatch=True))
def test_whatever_an_upstream_says_of_waiting_is_bounded(said: str) -> None:
    assert 0 <= (retry_after({"retry-after": said}) or 0) <= 99_999


def _with_settings(auth: dict[str, str], settings: Mapping[str, str]) -> HttpPlan:
    capability = {
        "id": "probe",
        "version": "1.0.0",
        "configuration": [{"key": key} for key in settings],
        "api": {"base_url": f"https://{HOST}/v1", "auth": auth},
        "endpoints": [{"id": "act", "path": "/items"}],
    }
    return _first(json.dumps({"capability": capability}).encode(), "probe.json")
