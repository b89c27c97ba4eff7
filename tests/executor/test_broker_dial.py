"""Where connections go: public addresses and named aliases, on connections that are never shared too widely."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from executor.brokers import ACME, URL, broker_of, client_of, code_of, resolving
from executor.upstream import Seen, Upstream, json_answer, redirect
from hardpoint_executor.broker import http
from hardpoint_executor.broker.broker import Broker, BrokerLimits
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.fetch import FetchRequest
from hardpoint_executor.broker.http import HttpClient, Owner
from hardpoint_kit.dial import parse_aliases


async def test_eight_ways_out_are_denied_and_no_private_address_sees_a_packet() -> None:
    async def never(_: Seen) -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async def fifty_megabytes(_: Seen) -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        for _i in range(50):
            yield b"100000\r\n" + bytes(1024 * 1024) + b"\r\n"
        yield b"0\r\n\r\n"

    def respond(request: Seen) -> bytes | AsyncIterator[bytes]:
        match request.target:
            case "/redirect":
                return redirect("http://169.254.169.254/latest/meta-data/")
            case "/never":
                return never(request)
            case "/large":
                return fifty_megabytes(request)
        return json_answer({})

    async with Upstream() as private, Upstream(respond) as api:

        async def rebinds(host: str, port: int) -> list[str]:
            return ["127.0.0.1"]

        async with client_of({"api.example.com": api}, rebinds) as client:
            hosts = ("api.example.com", f"rebind.example.com:{private.port}")

            def get(url: str, **limits: float) -> tuple[Broker, FetchRequest]:
                broker = broker_of(client, hosts=hosts, limits=BrokerLimits(**limits))  # type: ignore[arg-type]
                return broker, FetchRequest("GET", url)

            spent = broker_of(client)
            for _ in range(10):
                assert (await spent.fetch(FetchRequest("GET", URL))).status == 200

            codes = [
                await code_of(*get("https://undeclared.example.com/")),
                await code_of(*get("https://api.example.com/redirect")),
                await code_of(*get(f"http://rebind.example.com:{private.port}/")),
                await code_of(*get("http://2130706433/")),
                await code_of(*get("https://api.example.com@evil.test/")),
                await code_of(spent, FetchRequest("GET", URL)),
                await code_of(*get("https://api.example.com/never", call_seconds=0.1)),
                await code_of(*get("https://api.example.com/large")),
            ]
        assert codes == [
            DenialCode.HOST_NOT_GRANTED,
            DenialCode.REDIRECT_REFUSED,
            DenialCode.ADDRESS_NOT_PUBLIC,
            DenialCode.HOST_NOT_A_NAME,
            DenialCode.USERINFO_REFUSED,
            DenialCode.BUDGET,
            DenialCode.UPSTREAM_TIMEOUT,
            DenialCode.RESPONSE_TOO_LARGE,
        ]
        assert private.connections == 0
        assert len([seen for seen in api.seen if seen.target == "/v1"]) == 10


@pytest.mark.parametrize(
    "addresses", [["93.184.215.14", "127.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"], ["fd00:ec2::254"], []]
)
async def test_every_address_of_a_name_must_be_public(addresses: list[str]) -> None:
    async with client_of({}, resolving(addresses)) as client:
        assert await code_of(broker_of(client), FetchRequest("GET", URL)) == DenialCode.ADDRESS_NOT_PUBLIC


async def test_a_name_is_resolved_once_and_connected_by_the_address_found(monkeypatch: pytest.MonkeyPatch) -> None:
    dialled: list[tuple[str, int]] = []

    async def connect(host: str, port: int) -> None:
        dialled.append((host, port))
        raise ConnectionRefusedError

    monkeypatch.setattr("asyncio.open_connection", connect)
    async with client_of({}, resolving(["93.184.215.14"], ["127.0.0.1"])) as client:
        assert await code_of(broker_of(client), FetchRequest("GET", URL)) == DenialCode.UPSTREAM_UNREACHABLE
    assert dialled == [("93.184.215.14", 443)]


@pytest.mark.parametrize("trusted", [True, False])
async def test_tls_is_checked_against_the_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trusted: bool) -> None:
    certificate, key = certificate_of("api.example.com", tmp_path)
    names: list[str | None] = []
    server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_tls.load_cert_chain(certificate, key)
    server_tls.sni_callback = lambda _, name, __: names.append(name)
    monkeypatch.setattr("hardpoint_kit.dial.public_address", lambda address: address == "127.0.0.1")

    async with Upstream(tls=server_tls) as api, client_of({}, resolving(["127.0.0.1"])) as client:
        if trusted:
            client.tls.load_verify_locations(certificate)
        broker = broker_of(client, hosts=(f"api.example.com:{api.port}",))
        request = FetchRequest("GET", f"https://api.example.com:{api.port}/")
        if trusted:
            assert (await broker.fetch(request)).status == 200
            assert api.seen[0].header("host") == f"api.example.com:{api.port}"
        else:
            with pytest.raises(BrokerDenied, match="certificate") as denied:
                await broker.fetch(request)
            assert denied.value.code == DenialCode.UPSTREAM_UNREACHABLE
            assert api.seen == []
    assert names == ["api.example.com"]


def certificate_of(host: str, folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "certificate.pem", folder / "key.pem"


async def test_an_inside_address_is_not_told_to_the_capability() -> None:
    async with client_of({}, resolving(["10.1.2.3"])) as client:
        with pytest.raises(BrokerDenied) as denied:
            await broker_of(client).fetch(FetchRequest("GET", URL))
    assert "10.1.2.3" not in denied.value.message + denied.value.fix


async def test_an_unknown_name_is_unreachable() -> None:
    async with client_of({}) as client:
        assert await code_of(broker_of(client), FetchRequest("GET", URL)) == DenialCode.UPSTREAM_UNREACHABLE


async def test_a_port_that_nobody_listens_on_is_unreachable() -> None:
    async with Upstream() as gone:
        pass
    async with client_of({"api.example.com": gone}) as client:
        assert await code_of(broker_of(client), FetchRequest("GET", URL)) == DenialCode.UPSTREAM_UNREACHABLE


@pytest.mark.parametrize("place", ["10.0.0.1:80", "example.com:80", "127.0.0.1", "127.0.0.1:x", "0.0.0.0:80", ":80"])
def test_an_alias_leads_to_loopback_and_nowhere_else(place: str) -> None:
    with pytest.raises(ValueError, match=r"loopback|address"):
        parse_aliases({"api.example.com": place})


async def test_an_alias_is_said_in_the_log() -> None:
    with structlog.testing.capture_logs() as logs:
        await HttpClient(parse_aliases({"api.example.com": "http://127.0.0.1:8081"})).close()
    assert [entry["host"] for entry in logs] == ["api.example.com"]


async def test_connections_are_kept_per_org_and_capability() -> None:
    async with Upstream() as api, client_of({"api.example.com": api}) as client:
        for owner in (ACME, ACME, Owner("acme", "other"), Owner("globex", "weather-lookup"), ACME):
            await broker_of(client, owner=owner).fetch(FetchRequest("GET", URL))
        assert api.connections == 3


async def test_the_pools_idle_longest_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MOST_OWNERS", 2)
    async with Upstream() as api, client_of({"api.example.com": api}) as client:
        for capability in ("a", "b", "a", "c", "a", "b"):
            await broker_of(client, owner=Owner("acme", capability)).fetch(FetchRequest("GET", URL))
        assert api.connections == 4  # a, b, c, and b again


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Upstream() as proxy, Upstream() as api:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://{proxy.place}")
        async with client_of({"api.example.com": api}) as client:
            await broker_of(client).fetch(FetchRequest("GET", URL))
        assert (proxy.connections, len(api.seen)) == (0, 1)
