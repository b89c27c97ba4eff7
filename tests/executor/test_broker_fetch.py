"""What the broker lets through, in which order it checks, and what a jail sees of it."""

import json

import pytest

from executor.brokers import URL, broker_of, client_of
from executor.upstream import Seen, Upstream, answer, json_answer
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.fetch import FetchRequest


async def test_post_needs_its_own_permission() -> None:
    async with Upstream() as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, permissions=frozenset({"network.http.get"}))
        with pytest.raises(BrokerDenied, match=r"network\.http\.post") as denied:
            await broker.fetch(FetchRequest("POST", URL, body="x"))
        assert denied.value.code == DenialCode.PERMISSION_NOT_GRANTED
        assert api.seen == []
        assert broker.usage.calls == 0


async def test_what_leaves_is_what_was_checked() -> None:
    async with Upstream() as api, client_of({"api.example.com": api}) as client:
        url = "https://API.example.com/a/../b/%2e%2e/c;d?x=1&y=%20&z[]=é".replace("é", "%C3%A9")
        await broker_of(client).fetch(FetchRequest("POST", url, {"X-One": " 1 "}, "héllo"))
        [seen] = api.seen
    assert seen.target == "/a/../b/%2e%2e/c;d?x=1&y=%20&z[]=%C3%A9"
    assert seen.body == "héllo".encode()
    headers = dict(seen.headers)
    headers.pop("traceparent", None)  # there when something traces
    assert headers == {
        "host": "api.example.com",
        "user-agent": "Hardpoint",
        "accept-encoding": "identity",
        "x-one": "1",
        "content-length": "6",
    }


async def test_cookies_are_not_remembered() -> None:
    def respond(_: Seen) -> bytes:
        return answer(b"{}", headers={"Set-Cookie": "session=1; Path=/"})

    async with Upstream(respond) as api, client_of({"api.example.com": api}) as client:
        for _ in range(2):
            response = await broker_of(client).fetch(FetchRequest("GET", URL))
            assert response.headers["set-cookie"] == "session=1; Path=/"
        assert [seen.header("cookie") for seen in api.seen] == [None, None]


async def test_a_jail_fetches() -> None:
    def respond(request: Seen) -> bytes:
        return answer(b"\xff\x00") if request.target == "/bytes" else json_answer({"got": request.body.decode()})

    async with Upstream(respond) as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client)
        text = await broker.ask("fetch", "post", {"url": URL, "body": {"a": 1}})
        assert (text["status"], text["encoding"]) == (200, "utf-8")
        assert json.loads(text["body"]) == {"got": '{"a": 1}'}
        assert api.seen[0].header("content-type") == "application/json"
        binary = await broker.ask("fetch", "GET", {"url": "https://api.example.com/bytes"})
        assert (binary["body"], binary["encoding"]) == ("/wA=", "base64")


@pytest.mark.parametrize(
    ("service", "method", "arguments", "code", "calls"),
    [
        ("queue", "push", {}, DenialCode.SERVICE_UNKNOWN, 0),
        ("__proto__", "GET", {}, DenialCode.SERVICE_UNKNOWN, 0),
        ("fetch", "TRACE", {"url": URL}, DenialCode.METHOD_REFUSED, 0),
        ("fetch", "DELETE", {"url": URL}, DenialCode.PERMISSION_NOT_GRANTED, 0),
        ("fetch", "GET", {}, DenialCode.INVALID_ARGUMENT, 1),
        ("fetch", "GET", {"url": 1}, DenialCode.INVALID_ARGUMENT, 1),
        ("fetch", "GET", {"url": URL, "headers": ["x"]}, DenialCode.INVALID_ARGUMENT, 1),
        ("fetch", "GET", {"url": URL, "headers": {"x": 1}}, DenialCode.INVALID_ARGUMENT, 1),
        ("fetch", "GET", {"url": "https://evil.test/"}, DenialCode.HOST_NOT_GRANTED, 1),
        ("fetch", "GET", {"url": URL, "headers": {"Host": "evil.test"}}, DenialCode.HEADER_REFUSED, 1),
    ],
)
async def test_checks_come_in_order(
    service: str, method: str, arguments: dict[str, object], code: DenialCode, calls: int
) -> None:
    async with Upstream() as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, permissions=frozenset({"network.http.get"}))
        with pytest.raises(BrokerDenied) as denied:
            await broker.ask(service, method, arguments)
        assert (denied.value.code, broker.usage.calls) == (code, calls)
        assert api.connections == 0


async def test_a_lone_surrogate_is_no_crash() -> None:
    async with Upstream() as api, client_of({"api.example.com": api}) as client:
        await broker_of(client).ask("fetch", "POST", {"url": URL, "body": "\ud800"})
        assert api.seen[0].body == b"?"
