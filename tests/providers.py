"""An OAuth2 provider for tests: a real HTTP server on loopback that checks what a careful provider checks."""

import base64
import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from urllib.parse import parse_qs, urlencode

from demo.upstreams import Asked, Upstream, upstream

CLIENT_ID = "hardpoint-client"
CLIENT_SECRET = "client-secret-canary-61b0f2"
Said = tuple[int, object] | tuple[int, object, dict[str, str]]


@dataclass
class Provider:
    """What it gave out, and how it behaves; `instead` answers the token endpoint in its place."""

    redirect_uri: str = "http://127.0.0.1:8976/callback"
    expires_in: int | None = 3600
    rotates: bool = True
    iss: str = ""
    instead: Callable[[Asked], Said] | None = None
    server: Upstream = field(default_factory=Upstream)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    refresh_tokens: set[str] = field(default_factory=set)
    access_tokens: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=lambda: [CLIENT_SECRET])
    renewals: int = 0
    revoked: list[str] = field(default_factory=list)
    revoking: list[Said] = field(default_factory=lambda: [(200, b"")])
    """What it answers to the tokens that are given back, the last for ever."""
    _lock: Lock = field(default_factory=Lock)

    def __call__(self, asked: Asked) -> Said:
        with self._lock:
            if asked.path.endswith("/authorize"):
                return self._authorize(asked.query)
        if asked.path.endswith("/revoke"):
            return self._revoke(asked)
        return self.instead(asked) if self.instead else self.token(asked)

    def revoke(self) -> None:
        """Take back what was given."""
        self.refresh_tokens.clear()

    def _revoke(self, asked: Asked) -> Said:
        shown = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if asked.method != "POST" or asked.headers.get("authorization") != f"Basic {shown}":
            return 401, {"error": "invalid_client"}
        self.revoked.append(parse_qs(asked.body.decode())["token"][0])
        return self.revoking[-1] if len(self.revoked) > len(self.revoking) else self.revoking[len(self.revoked) - 1]

    def _authorize(self, query: dict[str, str]) -> Said:
        wanted = {"response_type": "code", "client_id": CLIENT_ID, "redirect_uri": self.redirect_uri}
        if any(query.get(key) != value for key, value in wanted.items()):
            return 400, {"error": "invalid_request"}
        if query.get("code_challenge_method") != "S256" or not query.get("state"):
            return 400, {"error": "invalid_request"}
        code = self._new("code")
        self.codes[code] = query
        answer = {"code": code, "state": query["state"], **({"iss": self.iss} if self.iss else {})}
        return 302, b"", {"location": f"{self.redirect_uri}?{urlencode(answer)}"}

    def token(self, asked: Asked) -> Said:
        """What its token endpoint answers."""
        with self._lock:
            return self._token(asked)

    def _token(self, asked: Asked) -> Said:
        shown = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if asked.method != "POST" or asked.headers.get("authorization") != f"Basic {shown}":
            return 401, {"error": "invalid_client"}
        form = {key: values[-1] for key, values in parse_qs(asked.body.decode()).items()}
        grant = form.get("grant_type")
        if grant == "authorization_code":
            begun = self.codes.pop(form.get("code", ""), None)
            digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            if begun is None or begun["code_challenge"] != challenge or form.get("redirect_uri") != self.redirect_uri:
                return 400, {"error": "invalid_grant", "error_description": f"no such code {form.get('code')}"}
            return 200, self._given(begun.get("scope", ""))
        if grant == "refresh_token":
            self.renewals += 1
            if form["refresh_token"] not in self.refresh_tokens:
                return 400, {"error": "invalid_grant", "error_description": form["refresh_token"]}
            if self.rotates:
                self.refresh_tokens.discard(form["refresh_token"])
            return 200, self._given("", refresh=self.rotates)
        if grant == "client_credentials":
            self.renewals += 1
            return 200, self._given(form.get("scope", ""), refresh=False)
        return 400, {"error": "unsupported_grant_type"}

    def _given(self, scope: str, refresh: bool = True) -> dict[str, object]:
        access = self._new("access")
        self.access_tokens.append(access)
        given: dict[str, object] = {"access_token": access, "token_type": "Bearer"}
        if self.expires_in is not None:
            given["expires_in"] = self.expires_in
        if scope:
            given["scope"] = scope
        if refresh:
            given["refresh_token"] = self._new("refresh")
            self.refresh_tokens.add(str(given["refresh_token"]))
        return given

    def _new(self, what: str) -> str:
        made = f"{what}-canary-{secrets.token_hex(12)}"
        self.secrets.append(made)
        return made


@contextmanager
def provider() -> Iterator[Provider]:
    """A running provider; `server.address` is where."""
    made = Provider()
    with upstream(made) as server:
        made.server = server
        yield made
