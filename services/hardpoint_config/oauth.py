"""Owns what is said to providers: authlib writes the requests of OAuth2 and reads the answers, the kit's dialler sends.

A token endpoint is dialled at an address that was checked, answers within seconds and in few bytes, and is not followed
elsewhere. Nothing that it says of an error reaches anybody but its code, which is compared with what was sent.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx
import structlog
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.client import OAuth2Client

from hardpoint_config.connection import Client, Provider, SignIn, Tokens, known_scopes
from hardpoint_config.domain import SecretValue
from hardpoint_kit.clock import Clock
from hardpoint_kit.dial import Alias, GuardedDialler, NotDialled, Resolve, Resolver
from hardpoint_kit.errors import Conflict, Unavailable
from hardpoint_kit.http1 import Connection, NotHttp

TOKEN_SECONDS = 5.0
"""What a token endpoint may take, from the lookup of its name to its last byte."""
LARGEST_ANSWER = 64 * 1024
LARGEST_TOKEN = 16 * 1024
LONGEST_LIFE: Final = timedelta(days=3650)

T = TypeVar("T")

_log = structlog.stdlib.get_logger(__name__)
_CODE: Final = re.compile(r"[a-z]+(_[a-z]+){0,5}")
_LATER: Final = frozenset({"temporarily_unavailable", "server_error", "slow_down", "ratelimited", "rate_limited"})


class Providers:
    """Token endpoints on the public internet, and those that the operator wrote down as aliases."""

    def __init__(self, clock: Clock, aliases: Mapping[str, Alias], resolve: Resolve | None = None) -> None:
        self._clock = clock
        self._aliases = dict(aliases)
        self._resolver = Resolver()
        self._dialler = GuardedDialler(resolve or self._resolver, self._aliases)
        self._tls = httpx.create_ssl_context(trust_env=False)
        for host, alias in self._aliases.items():
            _log.warning("host alias: sign-ins go to loopback over plain http", host=host, place=str(alias))

    def close(self) -> None:
        """Let what looks up names end."""
        self._resolver.close()

    def authorization_url(self, provider: Provider, sign_in: SignIn, state: str) -> str:
        """Where a person gives consent, bound to the verifier (RFC 7636)."""
        client = self._client(sign_in.client)
        client.code_challenge_method = "S256"
        url, _ = client.create_authorization_url(
            provider.authorization_url,
            state=state,
            code_verifier=sign_in.verifier.reveal().decode(),
            redirect_uri=sign_in.redirect_uri,
            scope=" ".join(provider.scopes) or None,
        )
        return str(url)

    async def exchange(self, provider: Provider, sign_in: SignIn, code: SecretValue) -> Tokens:
        """Exchange a code; raises Conflict SIGN_IN_REFUSED, Unavailable."""
        verifier = sign_in.verifier.reveal().decode()
        sent = {"code": code.reveal().decode(), "code_verifier": verifier}
        return await self._asked(
            provider,
            sign_in.client,
            lambda client: self._given(
                client.fetch_token(
                    provider.token_url, grant_type="authorization_code", redirect_uri=sign_in.redirect_uri, **sent
                )
            ),
            *sent.values(),
        )

    async def renew(self, provider: Provider, client: Client, refresh: SecretValue) -> Tokens:
        """Have the next access token; raises Conflict SIGN_IN_REFUSED, Unavailable."""
        token = refresh.reveal().decode()
        return await self._asked(
            provider,
            client,
            lambda asking: self._given(asking.refresh_token(provider.token_url, refresh_token=token)),
            token,
        )

    async def connect(self, provider: Provider, client: Client) -> Tokens:
        """Have an access token of the client's own; raises Conflict SIGN_IN_REFUSED, Unavailable."""
        scopes = {"scope": " ".join(provider.scopes)} if provider.scopes else {}
        return await self._asked(
            provider,
            client,
            lambda asking: self._given(
                asking.fetch_token(provider.token_url, grant_type="client_credentials", **scopes)
            ),
        )

    async def revoke(self, provider: Provider, client: Client, token: SecretValue) -> None:
        """Give a token back (RFC 7009); raises Conflict SIGN_IN_REFUSED, Unavailable."""
        sent = token.reveal().decode()
        await self._asked(
            provider, client, lambda asking: asking.revoke_token(provider.revocation_url, token=sent), sent
        )

    async def _asked(
        self, provider: Provider, client: Client, ask: Callable[["_Client"], Awaitable[T]], *sent: str
    ) -> T:
        try:
            async with asyncio.timeout(TOKEN_SECONDS):
                return await ask(self._client(client))
        except OAuth2Error as error:
            said = _said(error.error, [*sent, client.id, client.secret.reveal().decode() if client.secret else ""])
        except TimeoutError:
            raise _unavailable(provider, f"did not answer within {TOKEN_SECONDS:g} s") from None
        except NotDialled as error:
            raise Unavailable(
                f"the provider cannot be asked for a token: {error.message}", fix=error.fix, host=provider.host
            ) from None
        except (_Unusable, ValueError, TypeError, KeyError, OverflowError, RecursionError):
            raise _unavailable(provider, "gave an answer that is none of OAuth2") from None
        except (OSError, NotHttp):
            raise _unavailable(provider, "cannot be reached") from None
        if said in _LATER:
            raise _unavailable(provider, "has no time now")
        raise Conflict(
            f"{provider.host} refuses: {said}",
            reason="SIGN_IN_REFUSED",
            fix="look at the client id, its secret, redirect URL and scopes at the provider, and connect again",
            said=said,
            host=provider.host,
        )

    def _client(self, client: Client) -> "_Client":
        return _Client(self._post, client.id, client.secret.reveal().decode() if client.secret else None)

    async def _given(self, asked: Awaitable[Mapping[str, Any]]) -> Tokens:
        given = await asked
        life = given.get("expires_in")
        seconds = int(life) if isinstance(life, int | str) and not isinstance(life, bool) else 0
        expires_at = self._clock.now() + min(timedelta(seconds=seconds), LONGEST_LIFE) if seconds > 0 else None
        refresh = given.get("refresh_token")
        return Tokens(
            access=_token(given["access_token"]),
            refresh=_token(refresh) if refresh else None,
            expires_at=expires_at,
            scopes=known_scopes(given.get("scope")),
        )

    async def _post(self, url: str, headers: Mapping[str, str], body: str) -> "_Answer":
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
        sent = {"host": parts.netloc, "user-agent": "Hardpoint", "accept-encoding": "identity"}
        sent |= {name.lower(): value for name, value in headers.items()} | {"content-length": str(len(body))}
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        connection = Connection(*await self._dialler.connect(host, port))
        try:
            if host not in self._aliases:
                await connection.start_tls(self._tls, host)
            head = await connection.ask("POST", path, sent, body.encode())
            data = b""
            async for chunk in connection.chunks():
                data += chunk
                if len(data) > LARGEST_ANSWER:
                    raise _Unusable
        finally:
            connection.close()
        return _Answer(head.status, data)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a token endpoint said, as authlib reads it."""

    status_code: int
    data: bytes

    def json(self) -> Any:
        if 300 <= self.status_code < 400 or self.status_code == 429:
            raise _Unusable
        return json.loads(self.data)

    def raise_for_status(self) -> None:
        if self.status_code >= 300:
            raise _Unusable


class _Unusable(Exception):
    """An answer that says nothing about the request."""


class _Client(OAuth2Client):  # type: ignore[misc]
    """Authlib's client of one request, over our own transport."""

    def __init__(self, post: Callable[..., Awaitable[_Answer]], client_id: str, client_secret: str | None) -> None:
        super().__init__(None, client_id=client_id, client_secret=client_secret)
        self._post = post

    async def _fetch_token(self, url: str, *, body: str, headers: Any, auth: Any, **_: Any) -> Any:
        uri, signed, text = auth.prepare("POST", url, dict(headers), body)
        return self.parse_response_token(await self._post(uri, signed, text))

    async def _http_post(self, url: str, body: str, *, auth: Any, headers: Any, **_: Any) -> None:
        """Have a token taken back: success has nothing to say (RFC 7009, 2.2)."""
        uri, signed, text = auth.prepare("POST", url, dict(headers), body)
        answer = await self._post(uri, signed, text)
        if answer.status_code != 200:
            self.parse_response_token(answer)
            raise _Unusable

    async def _refresh_token(self, url: str, *, body: str, headers: Any, auth: Any, **_: Any) -> Any:
        return await self._fetch_token(url, body=body, headers=headers, auth=auth)


def _token(value: Any) -> SecretValue:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or len(value) > LARGEST_TOKEN:
        raise _Unusable
    return SecretValue(value.encode())


def _said(code: object, sent: list[str]) -> str:
    """The provider's code of an error, unless it is something else that could hold what was sent to it."""
    if not isinstance(code, str) or len(code) > 40 or not _CODE.fullmatch(code):
        return "an error it does not name"
    return (
        "an error it does not name" if any(secret and (secret in code or code in secret) for secret in sent) else code
    )


def _unavailable(provider: Provider, what: str) -> Unavailable:
    return Unavailable(
        f"the provider at {provider.host} {what}", fix="try again later", retry_after=2.0, host=provider.host
    )
