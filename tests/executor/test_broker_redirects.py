"""Redirects: each hop is a request of its own, and no credential follows to another host."""

import json

import pytest

from executor.brokers import URL, broker_of, client_of, code_of
from executor.upstream import Seen, Upstream, json_answer, redirect
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.fetch import FetchRequest
from hardpoint_executor.broker.limits import BrokerLimits


async def test_redirects_are_followed_and_each_spends_budget() -> None:
    def respond(request: Seen) -> bytes:
        hop = int(request.target.removeprefix("/"))
        return redirect(f"/{hop + 1}") if hop < 3 else json_answer({"hop": hop})

    async with Upstream(respond) as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client)
        response = await broker.fetch(FetchRequest("GET", "https://api.example.com/0"))
        assert json.loads(response.body) == {"hop": 3}
        assert broker.usage.calls == 4
        assert api.connections == 1


async def test_a_chain_of_redirects_ends() -> None:
    async with Upstream(lambda _: redirect("/again")) as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client)
        assert await code_of(broker, FetchRequest("GET", URL)) == DenialCode.TOO_MANY_REDIRECTS
        assert len(api.seen) == broker.usage.calls == 4


async def test_redirects_cannot_outrun_the_budget() -> None:
    async with Upstream(lambda _: redirect("/again")) as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, limits=BrokerLimits(calls=2))
        assert await code_of(broker, FetchRequest("GET", URL)) == DenialCode.BUDGET
        assert len(api.seen) == 2


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/",
        "https://evil.test/",
        "//evil.test/",
        "http://127.0.0.1:22/",
        "http://api.example.com/",
        "https://user@other.example.com/",
        "file:///etc/passwd",
        "https://[::1]/",
        "https://[::1",
        "\\\\evil.test\\",
        "https://other.example.com:8443/",
    ],
)
async def test_each_hop_passes_every_check(location: str) -> None:
    async with Upstream(lambda _: redirect(location)) as api, client_of({"api.example.com": api}) as client:
        assert await code_of(broker_of(client), FetchRequest("GET", URL)) == DenialCode.REDIRECT_REFUSED
        assert len(api.seen) == 1


async def test_a_redirect_to_another_method_needs_its_permission() -> None:
    async with Upstream(lambda _: redirect("/next", 303)) as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, permissions=frozenset({"network.http.post"}))
        with pytest.raises(BrokerDenied, match=r"network\.http\.get"):
            await broker.fetch(FetchRequest("POST", URL, body="{}"))
        assert len(api.seen) == 1


@pytest.mark.parametrize(("status", "method", "body"), [(302, "GET", b""), (303, "GET", b""), (307, "POST", b"x=1")])
async def test_a_redirect_keeps_the_request_where_its_status_says_so(status: int, method: str, body: bytes) -> None:
    def respond(request: Seen) -> bytes:
        return redirect("/next", status) if request.target == "/v1" else json_answer({})

    async with Upstream(respond) as api, client_of({"api.example.com": api}) as client:
        await broker_of(client).fetch(FetchRequest("POST", URL, {"Content-Type": "text/plain"}, "x=1"))
    assert (api.seen[1].method, api.seen[1].body) == (method, body)
    assert (api.seen[1].header("content-type") is None) == (method == "GET")


async def test_credentials_do_not_follow_to_another_host() -> None:
    async with Upstream() as other, Upstream(lambda _: redirect("https://other.example.com/x")) as api:
        async with client_of({"api.example.com": api, "other.example.com": other}) as client:
            broker = broker_of(client, secrets={"KEY": "hunter2-hunter2"})
            handle = broker.secrets.handles["KEY"]
            headers = {"Authorization": "Bearer plain", "Cookie": "a=b", "X-Key": handle, "X-Other": "stays"}
            await broker.fetch(FetchRequest("GET", f"{URL}?key={handle}", headers))
        assert api.seen[0].header("x-key") == "hunter2-hunter2"
        assert other.seen[0].target == "/x"
        ours = {"host", "user-agent", "accept-encoding", "traceparent"}
        assert dict(other.seen[0].headers).keys() - ours == {"x-other"}


@pytest.mark.parametrize("carrier", ["body", "location"])
async def test_a_redirect_that_would_carry_a_secret_away_is_refused(carrier: str) -> None:
    def respond(request: Seen) -> bytes:
        key = request.header("x-key") or ""
        return redirect(f"https://other.example.com/?k={key}", 307)

    async with Upstream() as other, Upstream(respond) as api:
        async with client_of({"api.example.com": api, "other.example.com": other}) as client:
            broker = broker_of(client, secrets={"KEY": "hunter2-hunter2"})
            handle = broker.secrets.handles["KEY"]
            headers, body = ({"X-Key": handle}, None) if carrier == "location" else ({}, f"key={handle}")
            code = await code_of(broker, FetchRequest("POST", URL, headers, body))
        assert code == DenialCode.REDIRECT_REFUSED
        assert other.connections == 0


@pytest.mark.parametrize("place", ["evil.test", "example.com", "other.example.com:8443"])
async def test_a_refusal_names_no_host_that_an_upstream_made_of_a_secret(place: str) -> None:
    """Neither the plugin, nor whoever reads the error, is told the key by the name of the host to go to."""
    async with (
        Upstream(lambda _: redirect(f"https://hunter2hunter2.{place}/")) as api,
        client_of({"api.example.com": api}) as client,
    ):
        broker = broker_of(
            client,
            hosts=("api.example.com", "*.example.com"),
            secrets={"KEY": "hunter2hunter2"},
            secret_hosts=("api.example.com",),
        )
        with pytest.raises(BrokerDenied) as denied:
            await broker.fetch(FetchRequest("GET", URL, {"x-key": broker.secrets.handles["KEY"]}))
    assert denied.value.code == DenialCode.REDIRECT_REFUSED
    assert denied.value.facts["host"] == "api.example.com"
    assert "hunter2" not in f"{denied.value.message} {denied.value.fix} {denied.value.facts}"
