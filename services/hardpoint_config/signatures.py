"""Owns how deliveries are signed, scheme by scheme: whether one is, told with the signing secret in hand. Pure.

Every comparison takes the same time whatever is wrong, and every scheme that says when it signed has the same window.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from hardpoint_config.domain import SecretValue
from hardpoint_kit.errors import InvalidArgument

WINDOW_SECONDS: Final = 300
MOST_SIGNATURES: Final = 10
"""Of one delivery; a sender that changes its secret signs with both."""

_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_HEADER = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_SYMMETRIC = "whsec_"


class Scheme(StrEnum):
    """Who signs how."""

    SLACK = "SLACK"
    GITHUB = "GITHUB"
    STANDARD_WEBHOOKS = "STANDARD_WEBHOOKS"
    HMAC = "HMAC"


_TIMED: Final = frozenset({Scheme.SLACK, Scheme.STANDARD_WEBHOOKS})
"""Those that always say when; hmac does where it is said in which header."""


class Verdict(StrEnum):
    """What is to be said of a delivery."""

    VALID = "VALID"
    MISSING = "MISSING"
    WRONG = "WRONG"
    TOO_OLD = "TOO_OLD"
    NO_SECRET = "NO_SECRET"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Proof:
    """What is to be said of a delivery.

    Of one that is signed also the `digest` of the bytes that are, and whether it is `timed`: a time is among them.
    """

    verdict: Verdict
    digest: str = ""
    timed: bool = False


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a delivery says of itself: these bytes are signed in one of these ways, and when, where they say that."""

    given: Sequence[str]
    signed: bytes
    at: str = ""


@dataclass(frozen=True, slots=True)
class Signed:
    """A delivery as it came: `headers` by their names in small letters.

    Scheme hmac has its signature in `header`. With a `timestamp_header` what is signed is the text of that header as it
    stands, a full stop and the body; without one it is the body. Where both are one header that holds a list,
    `t=1492774577,v1=5257a869...`, as Stripe has it: the time is `t`, and each `v1` a signature.
    """

    scheme: Scheme
    headers: Mapping[str, str]
    body: bytes
    header: str = ""
    timestamp_header: str = ""

    def proof(self, secret: SecretValue, now: datetime) -> Proof:
        """Whether the secret's holder signed it, lately where the scheme says when.

        Raises InvalidArgument for scheme hmac without the name of a header.
        """
        claim = self._claim()
        if claim is None:
            return Proof(Verdict.MISSING)
        wanted = self._spellings(secret.reveal(), claim.signed)
        # All of them, so that none is told from another by time.
        told = [_equal(one, spelling) for one in claim.given for spelling in wanted]
        if not any(told):
            return Proof(Verdict.WRONG)
        if claim.at and not _timely(claim.at, now):
            return Proof(Verdict.TOO_OLD)
        return Proof(Verdict.VALID, f"sha256:{hashlib.sha256(claim.signed).hexdigest()}", timed=bool(claim.at))

    def _claim(self) -> _Claim | None:
        """None where a header that the scheme needs is not there, or is none."""
        match self.scheme:
            case Scheme.SLACK:
                at = self._header("x-slack-request-timestamp")
                signed = b"v0:" + _bytes(at) + b":" + self.body
                claim = _Claim(self._given("x-slack-signature"), signed, at)
            case Scheme.GITHUB:
                claim = _Claim(self._given("x-hub-signature-256"), self.body)
            case Scheme.STANDARD_WEBHOOKS:
                delivery, at = self._header("webhook-id"), self._header("webhook-timestamp")
                signed = b".".join((_bytes(delivery), _bytes(at), self.body))
                claim = _Claim(self._header("webhook-signature").split() if delivery else (), signed, at)
            case Scheme.HMAC:
                claim = self._plain()
        timed = self.scheme in _TIMED or bool(self.timestamp_header)
        if not claim.given or (timed and not _SECONDS.fullmatch(claim.at)):
            return None
        return replace(claim, given=claim.given[:MOST_SIGNATURES])

    def _plain(self) -> _Claim:
        if not _HEADER.fullmatch(self.header):
            raise InvalidArgument({"header": "is not the name of a header"}, fix="name where the sender signs")
        if not self.timestamp_header:
            return _Claim(self._given(self.header), self.body)
        at, given = self._header(self.timestamp_header), self._given(self.header)
        if self.timestamp_header == self.header:
            at, given = _listed(at)
        return _Claim(given, _bytes(at) + b"." + self.body, at)

    def _spellings(self, secret: bytes, signed: bytes) -> tuple[str, ...]:
        """The signatures that would do."""
        match self.scheme:
            case Scheme.SLACK:
                return (f"v0={_mac(secret, signed).hex()}",)
            case Scheme.GITHUB:
                return (f"sha256={_mac(secret, signed).hex()}",)
            case Scheme.STANDARD_WEBHOOKS:
                return (f"v1,{_base64(_mac(_standard_key(secret), signed))}",)
            case Scheme.HMAC:
                mac = _mac(secret, signed)
                plain = (mac.hex(), mac.hex().upper(), _base64(mac))
                return (*plain, *(f"sha256={one}" for one in plain))

    def _header(self, name: str) -> str:
        return self.headers.get(name, "")

    def _given(self, name: str) -> tuple[str, ...]:
        text = self._header(name)
        return (text,) if text else ()


def _listed(text: str) -> tuple[str, tuple[str, ...]]:
    """The time and the signatures of a header that has both; no time where it has two."""
    parts = [part.strip().partition("=") for part in text.split(",")]
    times = [value for name, _, value in parts if name == "t"]
    return times[0] if len(times) == 1 else "", tuple(value for name, _, value in parts if name == "v1")


def _timely(at: str, now: datetime) -> bool:
    return abs(now.timestamp() - int(at)) <= WINDOW_SECONDS


def _standard_key(secret: bytes) -> bytes:
    """The key of a secret as providers show it, `whsec_` and base64; any other secret is the key itself."""
    text = secret.strip().decode(errors="replace")
    if not text.startswith(_SYMMETRIC):
        return secret
    try:
        return base64.b64decode(text.removeprefix(_SYMMETRIC), validate=True)
    except binascii.Error:
        return secret


def _mac(key: bytes, signed: bytes) -> bytes:
    return hmac.digest(key, signed, "sha256")


def _base64(mac: bytes) -> str:
    return base64.b64encode(mac).decode()


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(_bytes(given), wanted.encode())
