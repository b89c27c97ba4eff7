"""Owns the noun of a connection and its rules: where one signs in, what is known of the tokens, who may end a sign-in.

Pure, without encryption or I/O.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Self
from urllib.parse import parse_qsl, urlsplit

from hardpoint_config.domain import SecretValue
from hardpoint_kit.errors import Conflict, InvalidArgument
from hardpoint_kit.names import ConnectionName

SIGN_IN_TIME: Final = timedelta(minutes=10)
RENEW_BEFORE: Final = timedelta(minutes=1)
"""An access token that ends sooner is renewed before it is lent."""

# The last label begins with a letter, so no spelling of an address is a host.
_HOST: Final = re.compile(r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_OURS: Final = frozenset(
    ["client_id", "redirect_uri", "response_type", "scope", "state", "code_challenge", "code_challenge_method"]
)


class Grant(StrEnum):
    """How an access token is had: a person consents, or the client asks for itself."""

    AUTHORIZATION_CODE = "authorization_code"
    CLIENT_CREDENTIALS = "client_credentials"


class ConnectionState(StrEnum):
    """Whether a connection can be used."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    NEEDS_REAUTH = "NEEDS_REAUTH"


@dataclass(frozen=True, slots=True)
class Provider:
    """Where and how one signs in, as a release declares it; `setting` is the key of the access token."""

    setting: str
    grant: Grant
    authorization_url: str
    token_url: str
    scopes: tuple[str, ...]
    revocation_url: str = ""
    """Where tokens are given back; they travel to no other host than the one that gave them."""

    def check(self) -> None:
        """Raise InvalidArgument for an address that is no https URL of a host's name, or of another host."""
        _check_url("provider.token_url", self.token_url)
        if self.revocation_url:
            _check_url("provider.revocation_url", self.revocation_url)
            if urlsplit(self.revocation_url).netloc != urlsplit(self.token_url).netloc:
                raise InvalidArgument({"provider.revocation_url": f"is not at {self.host}, where tokens come from"})
        if self.grant is Grant.AUTHORIZATION_CODE:
            _check_url("provider.authorization_url", self.authorization_url)
            asked = {name for name, _ in parse_qsl(urlsplit(self.authorization_url).query, keep_blank_values=True)}
            for name in sorted(asked & _OURS):
                raise InvalidArgument({"provider.authorization_url": f"sets {name}, which is not its author's to set"})

    @property
    def host(self) -> str:
        """The host that secrets are sent to."""
        return urlsplit(self.token_url).hostname or ""

    def same_as(self, other: "Provider") -> bool:
        """Whether what was given for one may be used at the other: they are one host's, as `check` sees to."""
        return self._place() == other._place()

    def _place(self) -> "Provider":
        return replace(self, scopes=(), setting="", revocation_url="")

    def issued(self, iss: str) -> bool:
        """Whether a code may come from this issuer: it says nothing, or is at home where people gave their consent."""
        if not iss:
            return True
        try:
            said, wanted = urlsplit(iss), urlsplit(self.authorization_url)
            return (said.scheme, said.hostname, said.port) == (wanted.scheme, wanted.hostname, wanted.port)
        except ValueError:
            return False


def _check_url(place: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        sound = parts.scheme == "https" and "@" not in parts.netloc and not parts.fragment and parts.port != 0
        sound = sound and bool(_HOST.fullmatch(parts.hostname or ""))
    except ValueError:
        sound = False
    if not sound or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidArgument({place: "is no https URL of a public host; codes and tokens travel there"})


@dataclass(frozen=True, slots=True)
class Client:
    """The org's own client at a provider; `secret` is None for one that has none."""

    id: str
    secret: SecretValue | None


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a provider gave: `expires_at` is None and `scopes` empty where it did not say."""

    access: SecretValue
    refresh: SecretValue | None
    expires_at: datetime | None
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SignIn:
    """A sign-in that is under way: good once, for who began it, until it ends."""

    redirect_uri: str
    client: Client
    verifier: SecretValue


@dataclass(frozen=True, slots=True)
class Connection:
    """What is known of an account at a provider; `version` rises with everything that is sealed for it.

    With `per_user` it holds the org's client alone, and each person's account is one more, whose `owner` they are.
    `redirect_uri` is where links lead back to; empty until somebody came back there.
    """

    name: ConnectionName
    provider: Provider
    state: ConnectionState = ConnectionState.PENDING
    version: int = 1
    client_id: str = ""
    has_client_secret: bool = False
    renewable: bool = False
    scopes: tuple[str, ...] = ()
    expires_at: datetime | None = None
    connected_at: datetime | None = None
    subject: str = ""
    per_user: bool = False
    redirect_uri: str = ""
    owner: str = ""

    @property
    def key(self) -> tuple[ConnectionName, str]:
        """What tells it from all others."""
        return self.name, self.owner

    def for_users(self, client: Client, redirect_uri: str, subject: str, at: datetime) -> Self:
        """The connection from when on each person signs in; raises Conflict for a grant that asks nobody."""
        self.check_grant(Grant.AUTHORIZATION_CODE)
        return type(self)(
            self.name,
            self.provider,
            version=self.version + 1,
            client_id=client.id,
            has_client_secret=client.secret is not None,
            connected_at=at,
            subject=subject,
            per_user=True,
            redirect_uri=redirect_uri,
        )

    def of(self, owner: str, version: int) -> Self:
        """The connection of a person who signs in for the first time."""
        own = replace(self, owner=owner, version=version, state=ConnectionState.PENDING, connected_at=None)
        return replace(own, renewable=False, expires_at=None, scopes=(), subject=owner)

    def offered(self, provider: Provider) -> Self:
        """The connection at a provider, which starts anew where it is another one; nothing is everybody's by that."""
        if self.provider.same_as(provider):
            return replace(self, provider=provider)
        return type(self)(self.name, provider, version=self.version + 1)

    def connected(self, client: Client, tokens: Tokens, subject: str, at: datetime) -> Self:
        """The connection after somebody signed in."""
        signed_in = replace(
            self,
            client_id=client.id,
            has_client_secret=client.secret is not None,
            connected_at=at,
            subject=subject,
            scopes=self.provider.scopes,
        )
        return signed_in.renewed(tokens)

    def renewed(self, tokens: Tokens) -> Self:
        """The connection with its next tokens."""
        by_client = self.provider.grant is Grant.CLIENT_CREDENTIALS
        return replace(
            self,
            state=ConnectionState.ACTIVE,
            version=self.version + 1,
            renewable=by_client or tokens.refresh is not None,
            scopes=tokens.scopes or self.scopes,
            expires_at=tokens.expires_at,
        )

    def lost(self) -> Self:
        """The connection after the provider refused to renew it."""
        return replace(self, state=ConnectionState.NEEDS_REAUTH, version=self.version + 1, renewable=False)

    def lasts(self, now: datetime, at_least: timedelta = timedelta()) -> bool:
        """Whether its access token is good for longer than that."""
        return self.expires_at is None or self.expires_at - now > at_least

    @property
    def has_links(self) -> bool:
        """Whether a link is all that it takes to sign the org in: with its client, back to where one came before."""
        by_person = self.provider.grant is Grant.AUTHORIZATION_CODE and not self.per_user
        return by_person and bool(self.client_id and self.redirect_uri)

    def needs_reauth(self, signer: str = "", link: str = "") -> Conflict:
        """The error of whoever would use it now; with a link of `signer`, who may sign in for the org."""
        who = "" if signer else f"have an operator of {self.name.org} "
        error = Conflict(
            f"{self.provider.host} no longer accepts the sign-in of {self.name.connection}",
            reason="CONNECTION_NEEDS_REAUTH",
            fix=f"{who}sign in again: hardpoint connect {self.name.connection}",
            connection=self.name,
            installation=self.name.connection,
            host=self.provider.host,
        )
        if link:
            error.metadata["link"] = link
        return error

    def needs_user(self, user: str, link: str) -> Conflict:
        """The error of a call for somebody who has to sign in, with a link that is theirs alone."""
        return Conflict(
            f"{user} has to sign in at {self.provider.host} for {self.name.connection}",
            reason="CONNECTION_NEEDS_REAUTH",
            fix=f"have {user} sign in: hardpoint connect {self.name.connection} --me",
            connection=self.name,
            installation=self.name.connection,
            host=self.provider.host,
            user=user,
            link=link,
        )

    def check_mode(self, *, per_user: bool) -> None:
        """Raise Conflict CONNECTION_PER_USER where it is not the org, or not the person, who signs in."""
        if self.per_user is per_user:
            return
        command = f"hardpoint connect {self.name.connection}"
        if self.per_user:
            said, fix = "each person signs in for themselves", f"{command} --me; hardpoint disconnect ends that"
        else:
            said, fix = "the org itself signs in", f"an operator lets people sign in: {command} --each-user"
        raise Conflict(f"{self.name}: {said}", reason="CONNECTION_PER_USER", fix=fix, connection=self.name)

    def check_grant(self, grant: Grant) -> None:
        """Raise Conflict where one signs in another way."""
        if self.provider.grant is not grant:
            raise Conflict(
                f"{self.name} is connected by {self.provider.grant}",
                reason="SIGN_IN_REFUSED",
                fix=f"use hardpoint connect {self.name.connection}",
                connection=self.name,
            )


def known_scopes(text: object, most: int = 100) -> tuple[str, ...]:
    """Read the scopes that a provider says it granted, parted by spaces or commas."""
    words: Sequence[str] = re.split(r"[ ,]+", text) if isinstance(text, str) else ()
    return tuple(word for word in words if word and word.isascii() and word.isprintable() and len(word) <= 256)[:most]
