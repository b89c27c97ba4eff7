"""Secrets: values only in the request that leaves, never in what comes back."""

import json

import pytest

from executor.brokers import URL, broker_of, client_of, code_of
from executor.upstream import Seen, Upstream, answer
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
        broker.secrets._values["A"] = broker.secrets.handles["B"]
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
