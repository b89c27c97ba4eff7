"""Only a token that verifies makes a caller, and only a rule lets one in."""

import base64
import hmac
import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, RSAKey

from hardpoint.audit.v1 import audit_pb2
from hardpoint_kit.auth import DevKeys, Verifier, allows, rules
from hardpoint_kit.errors import PermissionDenied, Unauthenticated, Unavailable
from kit.echo import ECHO, UNRULED

GOOD: dict[str, Any] = {"iss": "hardpoint", "aud": "hardpoint", "sub": "ada", "org": "acme", "roles": ["viewer"]}


def signed(key: Any, alg: str = "ES256", **claims: Any) -> str:
    merged = {**GOOD, "exp": int(time.time()) + 60, **claims}
    present = {name: value for name, value in merged.items() if value is not None}
    return jwt.encode({"alg": alg, "kid": key.kid}, present, key, [alg])


@pytest.fixture(scope="module")
def key() -> ECKey:
    return ECKey.generate_key("P-256", auto_kid=True)


@pytest.fixture
def strict(key: ECKey) -> Verifier:
    return Verifier({"keys": [key.as_dict(private=False)]}, issuer="hardpoint")


async def test_token_makes_a_caller(strict: Verifier, key: ECKey) -> None:
    caller = await strict.verify(signed(key, aud=["other", "hardpoint"]))
    assert (caller.subject, caller.org, caller.roles) == ("ada", "acme", frozenset({"viewer"}))


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(time.time()) - 120},
        {"exp": None},
        {"nbf": int(time.time()) + 3600},
        {"aud": "other"},
        {"aud": None},
        {"iss": "other"},
        {"iss": None},
        {"sub": None},
        {"sub": ""},
        {"org": None},
        {"org": "*"},
        {"org": ["acme"]},
        {"org": "acme/../other"},
        {"roles": "admin"},
        {"roles": [["admin"]]},
    ],
)
async def test_claims_that_are_refused(claims: dict[str, Any], strict: Verifier, key: ECKey) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await strict.verify(signed(key, **claims))
    assert caught.value.fix


def part(value: object) -> str:
    return encoded(json.dumps(value).encode())


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


async def test_token_without_signature_is_refused(strict: Verifier, key: ECKey) -> None:
    claims = part({**GOOD, "exp": int(time.time()) + 60})
    with pytest.raises(Unauthenticated):
        await strict.verify(f"{part({'alg': 'none', 'kid': key.kid})}.{claims}.")


@pytest.mark.parametrize("as_bytes", [lambda key: key.as_pem(private=False), lambda key: key.as_der(private=False)])
async def test_public_key_is_no_shared_secret(as_bytes: Any, strict: Verifier, key: ECKey) -> None:
    signed_part = f"{part({'alg': 'HS256', 'kid': key.kid})}.{part({**GOOD, 'exp': int(time.time()) + 60})}"
    signature = hmac.digest(as_bytes(key), signed_part.encode(), "sha256")
    with pytest.raises(Unauthenticated):
        await strict.verify(f"{signed_part}.{encoded(signature)}")


async def test_other_keys_and_changed_tokens_are_refused(strict: Verifier, key: ECKey) -> None:
    stranger = ECKey.generate_key("P-256", {"kid": str(key.kid)})
    header, payload, signature = signed(key).split(".")
    changed = part({**GOOD, "org": "other"})
    for token in (signed(stranger), f"{header}.{changed}.{signature}", f"{header}.{payload}.", "", "a.b.c", "ä"):
        with pytest.raises(Unauthenticated) as refused:
            await strict.verify(token)
        assert not refused.value.message.endswith((":", " "))


@pytest.mark.parametrize(
    "header", [{"kid": []}, {"kid": {}}, {"kid": 1}, {"alg": ["ES256"]}, {"alg": None}, [], "x", 1, None]
)
async def test_headers_of_another_shape_are_refused(header: Any, strict: Verifier, key: ECKey) -> None:
    whole = {"alg": "ES256", "kid": key.kid, **header} if isinstance(header, dict) else header
    with pytest.raises(Unauthenticated):
        await strict.verify(f"{part(whole)}.{part(GOOD)}.{encoded(bytes(64))}")


@pytest.mark.parametrize("claims", [[], "x", 1, None, {"exp": "soon"}])
async def test_claims_of_another_shape_are_refused(claims: Any, strict: Verifier, key: ECKey) -> None:
    whole = {**GOOD, **claims} if isinstance(claims, dict) else claims
    signing = jws.serialize_compact({"alg": "ES256", "kid": key.kid}, json.dumps(whole).encode(), key, ["ES256"])
    with pytest.raises(Unauthenticated):
        await strict.verify(signing)


async def test_rsa_keys_are_taken() -> None:
    key = RSAKey.generate_key(2048, auto_kid=True)
    verifier = Verifier({"keys": [key.as_dict(private=False)]}, issuer="hardpoint")
    assert (await verifier.verify(signed(key, "RS256"))).subject == "ada"


class Issuer:
    """A JWKS over HTTP that counts its readers."""

    def __init__(self) -> None:
        self.jwks: object = {"keys": []}
        self.reads = 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.reads += 1
                body = json.dumps(issuer.jwks).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks.json"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    thread = Thread(target=issuer.server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    yield issuer
    issuer.server.shutdown()
    issuer.server.server_close()
    thread.join()


async def test_rotated_key_is_fetched_once(issuer: Issuer, key: ECKey) -> None:
    verifier = Verifier(issuer.url, issuer="hardpoint", refetch_seconds=0)
    issuer.jwks = {"keys": [key.as_dict(private=False)]}
    for _ in range(3):
        await verifier.verify(signed(key))
    assert issuer.reads == 1
    rotated = ECKey.generate_key("P-256", auto_kid=True)
    issuer.jwks = {"keys": [rotated.as_dict(private=False)]}
    await verifier.verify(signed(rotated))
    assert issuer.reads == 2
    with pytest.raises(Unauthenticated):
        await verifier.verify(signed(key))


async def test_invented_key_ids_do_not_reach_the_issuer(issuer: Issuer, key: ECKey) -> None:
    verifier = Verifier(issuer.url, issuer="hardpoint")
    issuer.jwks = {"keys": [key.as_dict(private=False)]}
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await verifier.verify(signed(ECKey.generate_key("P-256", auto_kid=True)))
    assert issuer.reads == 1
    assert (await verifier.verify(signed(key))).subject == "ada"


async def test_issuer_out_of_reach(issuer: Issuer, key: ECKey) -> None:
    verifier = Verifier(issuer.url, issuer="hardpoint", keep_seconds=0, refetch_seconds=0)
    issuer.jwks = "nonsense"
    with pytest.raises(Unavailable):
        await verifier.verify(signed(key))
    issuer.jwks = {"keys": [key.as_dict(private=False)]}
    await verifier.verify(signed(key))
    issuer.jwks = "nonsense"
    assert (await verifier.verify(signed(key))).subject == "ada", "known keys outlive an issuer's bad minute"


def test_dev_keys_are_kept_and_private(state: Path) -> None:
    first, second = DevKeys(state), DevKeys(state)
    assert first.jwks() == second.jwks()
    assert "d" not in first.jwks()["keys"][0]
    (file,) = state.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


async def test_keys_are_read_from_a_file(tmp_path: Path, keys: DevKeys) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(keys.jwks()))
    caller = await Verifier(file, issuer="hardpoint").verify(keys.mint("ada", "acme", ["admin"]))
    assert caller.roles == {"admin"}


def test_dev_key_that_others_can_read_is_refused(state: Path) -> None:
    DevKeys(state)
    (file,) = state.iterdir()
    file.chmod(0o644)
    with pytest.raises(PermissionDenied) as caught:
        DevKeys(state)
    assert caught.value.fix == f"chmod 600 {file}"


async def test_a_token_is_believed_again_until_it_expires(
    keys: DevKeys, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = keys.mint("ada", "acme", ["viewer"], ttl=30)
    caller = await verifier.verify(token)
    monkeypatch.setattr(Verifier, "_verified", None)  # a second look would fail
    assert await verifier.verify(token) == caller
    now = time.time()
    monkeypatch.setattr("hardpoint_kit.auth.time.time", lambda: now + 31)
    with pytest.raises(TypeError):
        await verifier.verify(token)


async def test_dev_token_runs_out(keys: DevKeys, verifier: Verifier) -> None:
    with pytest.raises(Unauthenticated):
        await verifier.verify(keys.mint("ada", "acme", ["admin"], ttl=-120))


@pytest.mark.parametrize(
    ("metadata", "org", "subject", "via"),
    [
        ({}, "hardpoint", "runtime", ""),
        ({"hardpoint-org": "acme", "hardpoint-subject": "ada"}, "acme", "ada", "runtime"),
        ({"hardpoint-org": "acme"}, "acme", "runtime", "runtime"),
    ],
)
async def test_unit_acts_for_somebody(
    metadata: dict[str, str], org: str, subject: str, via: str, keys: DevKeys, verifier: Verifier
) -> None:
    token = keys.mint("runtime", "hardpoint", ["service"])
    caller = await verifier.caller({"authorization": f"Bearer {token}", **metadata})
    assert (caller.org, caller.subject, caller.via) == (org, subject, via)


async def test_nobody_else_acts_for_somebody(keys: DevKeys, verifier: Verifier) -> None:
    token = keys.mint("ada", "acme", ["admin"])
    metadata = {"authorization": f"bearer {token}", "hardpoint-org": "other", "hardpoint-subject": "eve"}
    caller = await verifier.caller(metadata)
    assert (caller.org, caller.subject, caller.via) == ("acme", "ada", "")


@pytest.mark.parametrize("org", ["*", "acme/x", " acme", "ACME"])
async def test_unit_cannot_act_for_what_is_no_org(org: str, keys: DevKeys, verifier: Verifier) -> None:
    token = keys.mint("runtime", "hardpoint", ["service"])
    with pytest.raises(Unauthenticated):
        await verifier.caller({"authorization": f"Bearer {token}", "hardpoint-org": org})


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic YTpi", "token"])
async def test_no_bearer_token(authorization: str, verifier: Verifier) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await verifier.caller({"authorization": authorization})
    assert "Bearer" in caught.value.fix


@pytest.mark.parametrize(
    ("role", "permission", "allowed"),
    [
        ("admin", "audit.events.list", True),
        ("builder", "registry.releases.publish", True),
        ("builder", "config.secrets.write", False),
        ("operator", "config.secrets.write", True),
        ("operator", "registry.releases.publish", False),
        ("operator", "runtime.policy.read", True),
        ("operator", "orgs.policy.write", False),
        ("viewer", "registry.releases.read", True),
        ("viewer", "registry.releases.write", False),
        ("viewer", "config.secrets.read", False),
        ("agent", "config.settings.read", False),
        ("agent", "registry.releases.read", True),
        ("invented", "registry.releases.read", False),
    ],
)
def test_roles(role: str, permission: str, allowed: bool) -> None:
    assert allows(frozenset({role}), permission) is allowed


def test_service_without_rules_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"UnruledService/One has no rule.*UnruledService/Both has no rule"):
        rules([UNRULED])


@pytest.mark.parametrize("service", [audit_pb2.DESCRIPTOR.services_by_name["AuditService"].full_name, ECHO])
def test_every_method_has_its_rule(service: str) -> None:
    assert all(rule.permission and rule.resource for rule in rules([service]).values())
