"""Owns who may do what: tokens verified against a JWKS, roles, and the rules that RPCs carry in their protos.

Calls the issuer's JWKS URL, when one is configured, and nothing else.
"""

import asyncio
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet
from joserfc.jws import extract_compact

from hardpoint.auth.v1 import rule_pb2
from hardpoint_kit.caller import DELEGATE_ROLE, DOOR_ROLE, SERVICE_ROLE, Caller
from hardpoint_kit.errors import InvalidArgument, NotFound, PermissionDenied, Unauthenticated, Unavailable
from hardpoint_kit.names import PRODUCT_ORG, is_id, kind_of, org_of
from hardpoint_kit.rpc.wire import ORG_METADATA, SUBJECT_METADATA

ALGORITHMS = ["ES256", "RS256"]
KEPT_TOKEN_SECONDS = 60.0
MOST_KEPT_TOKENS = 1024

_READ = frozenset(
    {"registry.*.read", "marketplace.*.read", "runtime.*.read", "runtime.tools.list", "executor.engines.read"}
)

_OWN_FILES = frozenset({"files.files.write", "files.files.read"})
"""What one needs to give files to actions and to take theirs; an id cannot be guessed, and is not listed."""

_OWN_CONNECTIONS = frozenset({"config.connections.own"})
"""What one needs to sign in with an account of one's own, which is used for nobody else."""

PERMISSIONS_BY_ROLE: Mapping[str, frozenset[str]] = {
    "admin": frozenset({"*"}),
    "builder": _READ
    | _OWN_FILES
    | _OWN_CONNECTIONS
    | {"registry.*", "marketplace.listings.*", "executor.headers.*", "runtime.actions.test", "runtime.runs.logs"},
    "operator": _READ | {"config.*", "runtime.*", "files.files.*"},
    "agent": _OWN_FILES
    | _OWN_CONNECTIONS
    | {"registry.*.read", "marketplace.*.read", "runtime.actions.call", "runtime.tools.list"},
    "viewer": _READ | _OWN_CONNECTIONS,
    SERVICE_ROLE: frozenset({"*"}),
    DELEGATE_ROLE: frozenset(),
    DOOR_ROLE: frozenset({"door.deliveries.deliver"}),
}
"""What each role allows, as patterns over the permissions named in the protos."""


@cache
def allows(roles: frozenset[str], permission: str) -> bool:
    """Tell whether any of the roles allows the permission."""
    return any(fnmatchcase(permission, pattern) for role in roles for pattern in PERMISSIONS_BY_ROLE.get(role, ()))


@dataclass(frozen=True, slots=True)
class MethodRule:
    """The rule of one RPC: `resource` is the path of the request field whose org is checked, empty for none."""

    method: str
    permission: str
    resource: tuple[str, ...]
    who: int

    @property
    def needs_token(self) -> bool:
        """Whether the caller must show a bearer token; otherwise the request carries a ticket."""
        return self.who != rule_pb2.WHO_TICKET

    def admit(self, caller: Caller) -> None:
        """Check the caller's roles; raises PermissionDenied."""
        if not self.needs_token:
            return
        if self.who == rule_pb2.WHO_SERVICE and not caller.is_service:
            raise self._denied(caller, "only Hardpoint's own units call this")
        if not allows(caller.roles, self.permission):
            raise self._denied(caller, "ask an admin of your org for a role that allows it")

    def check(self, caller: Caller, request: Message, required: bool = True) -> None:
        """Check the org of the resource that the request names.

        Raises NotFound for another org's resource, exactly as if it did not exist, and InvalidArgument for no name.
        """
        if self.who not in (rule_pb2.WHO_ORG, rule_pb2.WHO_SERVICE) or not self.resource:
            return
        name: Any = request
        for field in self.resource:
            name = getattr(name, field)
        if not name and not required:
            return
        org = org_of(name)
        if org is None:
            problem = f'"{name}" is not a resource name' if name else "is required"
            raise InvalidArgument({".".join(self.resource): problem}, fix="write it as orgs/{org}/...")
        if org != caller.org:
            raise NotFound(kind_of(name), name)

    def _denied(self, caller: Caller, fix: str) -> PermissionDenied:
        return PermissionDenied(
            f"{caller.subject} has no role that allows {self.permission}",
            fix=fix,
            permission=self.permission,
            roles=",".join(sorted(caller.roles)),
        )


def rules(service_names: Iterable[str]) -> dict[str, MethodRule]:
    """Read the rule of every RPC of the services, by full method `/package.Service/Method`.

    Raises ValueError that names each RPC without a usable rule: nothing is served by accident.
    """
    found: dict[str, MethodRule] = {}
    wrong: list[str] = []
    for service_name in service_names:
        service = descriptor_pool.Default().FindServiceByName(service_name)
        for method in service.methods:
            rule = _rule(method)
            problem = _problem(rule, method)
            if problem:
                wrong.append(f"{rule.method} {problem}")
            found[rule.method] = rule
    if wrong:
        raise ValueError("; ".join(wrong) + ": add option (hardpoint.auth.v1.rule) to the RPC")
    return found


def _rule(method: MethodDescriptor) -> MethodRule:
    option: rule_pb2.Rule = method.GetOptions().Extensions[rule_pb2.rule]  # type: ignore[index]
    path = f"/{method.containing_service.full_name}/{method.name}"
    return MethodRule(path, option.permission, tuple(option.resource.split(".")) if option.resource else (), option.who)


def _problem(rule: MethodRule, method: MethodDescriptor) -> str:
    if rule.who == rule_pb2.WHO_UNSPECIFIED:
        return "has no rule"
    if rule.needs_token and not rule.permission:
        return "has a rule without a permission"
    if rule.who == rule_pb2.WHO_ORG and not rule.resource:
        return "has a rule for one org that names no resource field"
    message: Descriptor | None = method.input_type
    for field in rule.resource:
        if message is None or field not in message.fields_by_name:
            return f"has a rule for the field {'.'.join(rule.resource)}, which its request does not have"
        message = message.fields_by_name[field].message_type
    return ""


class Verifier:
    """Turns bearer tokens into callers: signature, issuer, audience and expiry are checked against a JWKS.

    The JWKS is a dict, or a file or URL that is read when first needed, every `keep_seconds`, and when a token names
    a key that is not in it (at most every `refetch_seconds`, so that invented key ids cost the issuer nothing).
    """

    def __init__(
        self,
        jwks: str | Path | Mapping[str, Any],
        issuer: str,
        audience: str = "hardpoint",
        keep_seconds: float = 300.0,
        refetch_seconds: float = 10.0,
    ) -> None:
        self._source = jwks
        self._keep_seconds = keep_seconds
        self._refetch_seconds = refetch_seconds
        self._keys: KeySet | None = None
        self._read_at = float("-inf")
        self._kept: dict[str, tuple[Caller, float]] = {}
        self._reading = asyncio.Lock()
        self._claims = jwt.JWTClaimsRegistry(
            leeway=30,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )

    async def caller(self, metadata: Mapping[str, str]) -> Caller:
        """Verify the `authorization` of a call's metadata; raises Unauthenticated.

        A unit of ours may act for somebody: the org and subject it names are believed only with the role `service`.
        """
        scheme, _, token = metadata.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("no token", fix="send `authorization: Bearer <token>`, or log in")
        caller = await self.verify(token)
        org = metadata.get(ORG_METADATA, "")
        if not caller.is_service or not org:
            return caller
        if not is_id(org):
            raise Unauthenticated(f"{ORG_METADATA} is not an org", fix="send the org's id")
        return Caller(
            subject=metadata.get(SUBJECT_METADATA) or caller.subject, org=org, roles=caller.roles, via=caller.subject
        )

    async def verify(self, token: str) -> Caller:
        """Return whom a token stands for; raises Unauthenticated, or Unavailable while the keys cannot be read.

        A token that verified is believed for `KEPT_TOKEN_SECONDS` without another look, never beyond its expiry: a
        signature costs more than all else that happens around a call.
        """
        kept = self._kept.get(token)
        if kept is not None and time.time() < kept[1]:
            return kept[0]
        caller, expires_at = await self._verified(token)
        self._kept[token] = caller, min(expires_at, time.time() + KEPT_TOKEN_SECONDS)
        while len(self._kept) > MOST_KEPT_TOKENS:
            del self._kept[next(iter(self._kept))]
        return caller

    async def _verified(self, token: str) -> tuple[Caller, float]:
        try:
            kid = extract_compact(token.encode()).headers().get("kid")
            verified = jwt.decode(token, await self._keys_for(kid), algorithms=ALGORITHMS)
            self._claims.validate(verified.claims)
        except (JoseError, ValueError) as error:
            raise _refused(str(error).rstrip(": ")) from error
        claims = verified.claims
        roles = claims.get("roles", [])
        if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
            raise _refused("claim roles must be a list of names")
        if not claims["sub"] or not isinstance(claims.get("org"), str) or not is_id(claims["org"]):
            raise _refused("claims sub and org must name a subject and an org")
        if claims["org"] == PRODUCT_ORG and SERVICE_ROLE not in roles and roles != [DOOR_ROLE]:
            raise _refused(f"nobody acts for the org {PRODUCT_ORG}, which what is shipped with the product belongs to")
        return Caller(subject=claims["sub"], org=claims["org"], roles=frozenset(roles)), float(claims["exp"])

    async def _keys_for(self, kid: str | None) -> KeySet:
        async with self._reading:
            age = time.monotonic() - self._read_at
            unknown = self._keys is None or kid not in {key.kid for key in self._keys}
            if age > self._keep_seconds or (unknown and age > self._refetch_seconds):
                try:
                    self._keys = KeySet.import_key_set(await self._read())  # type: ignore[arg-type]
                except (OSError, ValueError, KeyError, JoseError, httpx.HTTPError) as error:
                    if self._keys is None:
                        raise Unavailable(
                            "the keys that verify tokens cannot be read", fix="check HARDPOINT_JWKS", retry_after=1.0
                        ) from error
                self._read_at = time.monotonic()
        assert self._keys is not None
        return self._keys

    async def _read(self) -> Mapping[str, Any]:
        if isinstance(self._source, Mapping):
            return self._source
        source = str(self._source)
        if source.startswith(("https://", "http://")):
            async with httpx.AsyncClient(timeout=5.0) as client:
                return dict((await client.get(source)).raise_for_status().json())
        return dict(json.loads(await asyncio.to_thread(Path(source).read_text)))


class DevKeys:
    """An issuer for a laptop and for tests: one EC key in a 0600 file of the state folder, made when missing."""

    def __init__(self, folder: Path, issuer: str = "hardpoint", audience: str = "hardpoint") -> None:
        self._issuer = issuer
        self._audience = audience
        self._key = _load_or_create(folder / "dev-key.json")

    def mint(self, sub: str, org: str, roles: Iterable[str], ttl: float = 3600.0) -> str:
        """Sign a token for a subject, good for `ttl` seconds."""
        now = int(time.time())
        claims = {"iss": self._issuer, "aud": self._audience, "iat": now, "exp": now + int(ttl)}
        header = {"alg": "ES256", "kid": self._key.kid}
        return jwt.encode(header, claims | {"sub": sub, "org": org, "roles": sorted(roles)}, self._key, ["ES256"])

    def jwks(self) -> dict[str, Any]:
        """Return the public half, as a verifier takes it."""
        return dict(KeySet([self._key]).as_dict(private=False))


def _load_or_create(path: Path) -> ECKey:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        key = ECKey.generate_key("P-256", auto_kid=True)
        fresh = path.with_suffix(f".{os.getpid()}.new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(key.as_dict(private=True), file)
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass  # another starter was first; its key counts
        finally:
            fresh.unlink()
    if path.stat().st_mode & 0o077:
        raise PermissionDenied("others can read the key that signs tokens", fix=f"chmod 600 {path}", place=str(path))
    return ECKey.import_key(json.loads(path.read_text()))


def _refused(problem: str) -> Unauthenticated:
    return Unauthenticated(f"the token does not verify: {problem}", fix="log in again, or ask for a new token")
