"""Secrets: values only in the request that leaves, never in what comes back."""

import dataclasses
import json

import pytest

from executor.brokers import URL, broker_of, client_of, code_of
from executor.spellings import ENCODINGS
from executor.upstream import Seen, Upstream, answer, redirect
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.fetch import FetchRequest


async def test_a_handle_becomes_its_value_in_header_query_and_body() -> None:
    value = 'p@ss "wörd"&=\\/'
    async with Upstream() as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, secrets={"KEY": value, "TOKEN": "tok-123"})
        key, token = broker.secrets.handles["KEY"], broker.secrets.handles["TOKEN"]
        bodies = {
            "application/json; charset=utf-8": json.dumps({"k": key}),
            "application/x-www-form-urlencoded": "k=" + key.replace(":", "%3A").replace("/", "%2F").replace("#", "%23"),
            "text/plain": f"k {key}",
        }
        for content_type, body in bodies.items():
            headers = {"Content-Type": content_type, "Authorization": f"Bearer {token}"}
            await broker.fetch(FetchRequest("POST", f"{URL}?a={key}&b={token}x", headers, body))
    for seen in api.seen:
        assert seen.target == "/v1?a=p%40ss%20%22w%C3%B6rd%22%26%3D%5C%2F&b=tok-123x"
        assert seen.header("authorization") == "Bearer tok-123"
    assert json.loads(api.seen[0].body) == {"k": value}
    assert api.seen[1].body == b"k=p%40ss+%22w%C3%B6rd%22%26%3D%5C%2F"
    assert api.seen[2].body == f"k {value}".encode()


async def test_text_that_only_looks_like_a_handle_stays_text() -> None:
    async with Upstream() as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, secrets={"KEY": "hunter2-hunter2"})
        forged = f"secret://KEY#{'0' * 32}"
        other = broker_of(client, secrets={"KEY": "another"}).secrets.handles["KEY"]
        await broker.fetch(FetchRequest("POST", URL, {"X-Key": forged}, f"{forged} {other} ${{KEY}} {{{{KEY}}}}"))
        [seen] = api.seen
    assert seen.header("x-key") == forged
    assert seen.body.decode() == f"{forged} {other} ${{KEY}} {{{{KEY}}}}"


async def test_a_secret_that_holds_a_handle_is_not_read_again() -> None:
    async with Upstream() as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, secrets={"A": "value-a", "B": "value-b"})
        secret = broker.secrets._secrets["A"]
        broker.secrets._secrets["A"] = dataclasses.replace(secret, value=broker.secrets.handles["B"])
        await broker.fetch(FetchRequest("GET", URL, {"X-A": broker.secrets.handles["A"]}))
        assert api.seen[0].header("x-a") == broker.secrets.handles["B"]


@pytest.mark.parametrize("url", ["https://{}/", "https://api.example.com/{}", "https://api.example.com/a/{}?x=1"])
@pytest.mark.parametrize("encoded", [False, True])
async def test_a_handle_in_host_or_path_is_refused(url: str, encoded: bool) -> None:
    async with Upstream() as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, secrets={"KEY": "hunter2-hunter2"})
        handle = broker.secrets.handles["KEY"]
        handle = handle.replace(":", "%3A").replace("/", "%2F").replace("#", "%23") if encoded else handle
        assert await code_of(broker, FetchRequest("GET", url.format(handle))) == DenialCode.SECRET_MISPLACED
        assert api.seen == []


async def test_a_secret_that_is_no_text_goes_nowhere() -> None:
    async with Upstream() as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, secrets={"KEY": ""})
        broker.secrets._secrets["KEY"] = dataclasses.replace(broker.secrets._secrets["KEY"], no_text="KEY")
        request = FetchRequest("GET", URL, {"X-Key": broker.secrets.handles["KEY"]})
        assert await code_of(broker, request) == DenialCode.SETTING_INVALID
        with pytest.raises(BrokerDenied, match="the value of the secret KEY is not text"):
            broker.secrets.value("KEY")
        assert api.seen == []


async def test_a_secret_with_a_line_break_makes_no_header() -> None:
    async with Upstream() as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, secrets={"KEY": "hunter2\r\nX-Evil: 1"})
        with pytest.raises(BrokerDenied) as denied:
            await broker.fetch(FetchRequest("GET", URL, {"X-Key": broker.secrets.handles["KEY"]}))
        assert denied.value.code == DenialCode.HEADER_REFUSED
        assert "hunter2" not in denied.value.message
        assert api.seen == []


async def test_an_answer_that_repeats_a_secret_is_scrubbed() -> None:
    value = 'hunter2/"+ü'

    def respond(request: Seen) -> bytes:
        import base64
        import urllib.parse

        spellings = [
            value,
            json.dumps(value),
            urllib.parse.quote(value, safe=""),
            urllib.parse.quote_plus(value),
            base64.b64encode(value.encode()).decode(),
            base64.b64encode(b"user:" + value.encode()).decode(),
            base64.urlsafe_b64encode(b"u:" + value.encode() + b":x").decode(),
        ]
        return answer("\n".join(spellings).encode(), headers={"X-Echo": urllib.parse.quote(value)})

    async with Upstream(respond) as api, client_of({"api.example.com": api}) as client:
        response = await broker_of(client, secrets={"KEY": value}).fetch(FetchRequest("GET", URL))
    text = response.body.decode()
    assert text.count("[secret KEY]") == 7
    assert "hunter2" not in text
    assert "aHVudGVy" not in text
    assert "hunter2" not in response.headers["x-echo"]


@pytest.mark.parametrize("place", ["header", "query", "body"])
@pytest.mark.parametrize(
    ("rules", "host", "sent"),
    [
        (("api.example.com",), "api.example.com", True),
        (("api.example.com",), "other.example.com", False),
        (("*.example.com",), "other.example.com", True),
        (("*.other.test",), "api.example.com", False),
        (("api.example.com:8443",), "api.example.com", False),
        ((), "api.example.com", False),
    ],
)
async def test_a_secret_goes_only_where_it_is_for(place: str, rules: tuple[str, ...], host: str, sent: bool) -> None:
    async with Upstream() as server, client_of({host: server}) as client:
        broker = broker_of(client, secrets={"KEY": "hunter2-hunter2"}, secret_hosts=rules)
        handle = broker.secrets.handles["KEY"]
        request = {
            "header": FetchRequest("POST", f"https://{host}/", {"X-Key": handle}),
            "query": FetchRequest("POST", f"https://{host}/?key={handle}"),
            "body": FetchRequest("POST", f"https://{host}/", body=f"key={handle}"),
        }[place]
        if sent:
            await broker.fetch(request)
            assert "hunter2-hunter2" in repr(server.seen)
        else:
            assert await code_of(broker, request) == DenialCode.SECRET_NOT_FOR_HOST
            assert server.connections == 0


async def test_a_redirect_brings_no_secret_to_a_host_that_it_is_for() -> None:
    """What follows a redirect to another host is without secrets, wherever they are for."""
    away = redirect("https://other.example.com/")
    async with (
        Upstream() as other,
        Upstream(lambda _: away) as api,
        client_of({"api.example.com": api, "other.example.com": other}) as client,
    ):
        broker = broker_of(client, secrets={"KEY": "hunter2-hunter2"})
        await broker.fetch(FetchRequest("GET", URL, {"X-Key": broker.secrets.handles["KEY"]}))
    assert "hunter2" in repr(api.seen)
    assert "hunter2" not in repr(other.seen)


@pytest.mark.parametrize("name", ENCODINGS)
async def test_no_encoding_of_a_secret_comes_back(name: str) -> None:
    """In a body, in the value of a header and in the name of one; refused, or cut out."""
    value = "canary-7f3a9c51e2-do-not-sing"
    spelled = ENCODINGS[name](value)
    token = bytes(b for b in spelled if chr(b).isalnum() or chr(b) in "-_.")

    def respond(request: Seen) -> bytes:
        line = spelled.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")
        return {
            "/body": answer(b"before " + spelled + b" after"),
            "/value": b"HTTP/1.1 200 OK\r\nX-Echo: " + line + b"\r\nContent-Length: 2\r\n\r\n{}",
            "/name": b"HTTP/1.1 200 OK\r\n" + token + b": echo\r\nContent-Length: 2\r\n\r\n{}",
        }[request.target]

    async with Upstream(respond) as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, secrets={"KEY": value})
        for path in ("body", "value", "name"):
            try:
                response = await broker.fetch(FetchRequest("GET", f"https://api.example.com/{path}"))
            except BrokerDenied as denied:
                assert denied.code in (DenialCode.ANSWER_HOLDS_SECRET, DenialCode.UPSTREAM_ERROR)  # noqa: PT017
                continue
            came = response.body + repr(sorted(response.headers.items())).encode()
            assert spelled not in came
            assert broker.outlet._scrubber.found(came) is None
