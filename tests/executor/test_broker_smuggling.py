"""Secrets and requests carried past the checks: handles in odd places, headers in odd forms, what one reader joins."""

import json
from urllib.parse import quote

import pytest

from executor.brokers import URL, broker_of, client_of
from executor.upstream import Upstream, answer
from hardpoint_executor.broker.denial import BrokerDenied
from hardpoint_executor.broker.fetch import FetchRequest

VALUE = 'hunter2-"hunter2"'


def twice(handle: str) -> str:
    return quote(quote(handle, safe=""), safe="")


ODD_PLACES = {
    "fragment": lambda handle: FetchRequest("GET", f"{URL}#{handle}"),
    "user information": lambda handle: FetchRequest("GET", f"https://{handle}@api.example.com/"),
    "label of the host": lambda handle: FetchRequest("GET", f"https://{handle[:60]}.evil.test/"),
    "port": lambda handle: FetchRequest("GET", f"https://api.example.com:{handle}/"),
    "path, encoded twice": lambda handle: FetchRequest("GET", f"{URL}/{twice(handle)}"),
    "path, as parameters": lambda handle: FetchRequest("GET", f"{URL};a={quote(handle, safe='')}?b=1"),
    "scheme": lambda handle: FetchRequest("GET", handle.replace("#", "/")),
    "method": lambda handle: FetchRequest(handle, URL),
    "name of a header": lambda handle: FetchRequest("GET", URL, {handle: "1"}),
    "name of a header, encoded": lambda handle: FetchRequest("GET", URL, {quote(handle, safe=""): "1"}),
    "content type": lambda handle: FetchRequest("POST", URL, {"content-type": f"text/plain; {handle}\r\nx: 1"}, "x"),
    "half of it": lambda handle: FetchRequest("POST", URL, {}, handle[: len(handle) // 2]),
    "two halves": lambda handle: FetchRequest("POST", URL, {"x-a": handle[:20]}, handle[20:]),
    "upper case": lambda handle: FetchRequest("POST", URL, {}, handle.upper()),
    "reversed": lambda handle: FetchRequest("POST", URL, {}, handle[::-1]),
}


@pytest.mark.parametrize("place", ODD_PLACES)
async def test_a_handle_in_an_odd_place_is_refused_or_stays_a_handle(place: str) -> None:
    async with Upstream() as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, secrets={"KEY": VALUE})
        try:
            await broker.fetch(ODD_PLACES[place](broker.secrets.handles["KEY"]))
        except BrokerDenied as denied:
            told = f"{denied.message} {denied.fix}"
        else:
            told = ""
        left = repr(api.seen)
    assert "hunter2" not in told + left


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length ": "0"},
        {"Transfer-Encoding\t": "chunked"},
        {"Transfer-Encoding:": "chunked"},
        {"\x0bTransfer-Encoding": "chunked"},
        {"X-A": "1\r\n\r\nGET /admin HTTP/1.1"},
        {"X-A": "1\n folded: 2"},
        {"X-A": "1\x85X-B: 2"},
        {"X-A": "\u560d\u560aX-B: 2"},
        {"TRANSFER-encoding": "identity"},
        {"Proxy-Host": "evil.test"},
        {"keep-alive": "timeout=999"},
        {"x-aws-ec2-metadata-anything": "1"},
    ],
    ids=repr,
)
async def test_a_header_that_another_reader_takes_for_two_never_leaves(headers: dict[str, str]) -> None:
    async with Upstream() as api, client_of({"api.example.com": api}) as client:
        with pytest.raises(BrokerDenied):
            await broker_of(client).fetch(FetchRequest("POST", URL, headers, "x"))
        assert api.seen == []


async def test_one_request_is_one_request_on_the_wire() -> None:
    """A body that looks like a request, and a path that looks like one's end, are data."""
    body = "x\r\n\r\nGET /admin HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
    async with Upstream() as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client)
        await broker.fetch(FetchRequest("POST", f"{URL}?a=%20HTTP/1.1%0d%0aHost:evil.test", {}, body))
        await broker.fetch(FetchRequest("GET", URL))
    assert [(seen.method, seen.target) for seen in api.seen] == [
        ("POST", "/v1?a=%20HTTP/1.1%0d%0aHost:evil.test"),
        ("GET", "/v1"),
    ]
    assert api.seen[0].body == body.encode()


async def test_a_secret_comes_back_in_no_place_of_an_answer() -> None:
    def respond(_request: object) -> bytes:
        return answer(
            json.dumps({"a": VALUE, "b": [VALUE] * 3}).encode(), 418, {"X-A": VALUE, "Set-Cookie": f"k={VALUE}"}
        )

    async with Upstream(respond) as api, client_of({"api.example.com": api}) as client:
        response = await broker_of(client, secrets={"KEY": VALUE}).fetch(FetchRequest("GET", URL))
    assert "hunter2" not in repr(response)
