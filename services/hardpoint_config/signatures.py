"""Owns how deliveries are signed, scheme by scheme: whether one is, told with the signing secret in hand. Pure.

Every comparison takes the same time whatever is wrong, and every scheme that says when it signed has the same window.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
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


class Verdict(StrEnum):
    """What is to be said of a delivery."""

    VALID = "VALID"
    MISSING = "MISSING"
    WRONG = "WRONG"
    TOO_OLD = "TOO_OLD"
    NO_SECRET = "NO_SECRET"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Signed:
    """A delivery as it came: `headers` by their names in small letters; `header` is where scheme hmac signs."""

    scheme: Scheme
    headers: Mapping[str, str]
    body: bytes
    header: str = ""

    def verdict(self, secret: SecretValue, now: datetime) -> Verdict:
        """Whether the secret's holder signed it, lately where the scheme says when.

        Raises InvalidArgument for scheme hmac without the name of a header.
        """
        match self.scheme:
            case Scheme.SLACK:
                return self._slack(secret.reveal(), now)
            case Scheme.GITHUB:
                return self._one(self.headers.get("x-hub-signature-256", ""), "sha256=", secret.reveal())
            case Scheme.STANDARD_WEBHOOKS:
                return self._standard(secret.reveal(), now)
            case Scheme.HMAC:
                if not _HEADER.fullmatch(self.header):
                    raise InvalidArgument({"header": "is not the name of a header"}, fix="name where the sender signs")
                return self._plain(self.headers.get(self.header, ""), secret.reveal())

    def _slack(self, key: bytes, now: datetime) -> Verdict:
        signature, at = self.headers.get("x-slack-signature", ""), self.headers.get("x-slack-request-timestamp", "")
        if not signature or not _SECONDS.fullmatch(at):
            return Verdict.MISSING
        if not _equal(signature, "v0=" + _mac(key, b"v0:" + at.encode() + b":" + self.body).hex()):
            return Verdict.WRONG
        return _timely(at, now)

    def _standard(self, key: bytes, now: datetime) -> Verdict:
        delivery, at = self.headers.get("webhook-id", ""), self.headers.get("webhook-timestamp", "")
        given = self.headers.get("webhook-signature", "").split()[:MOST_SIGNATURES]
        if not delivery or not given or not _SECONDS.fullmatch(at):
            return Verdict.MISSING
        signed = delivery.encode(errors="surrogateescape") + b"." + at.encode() + b"." + self.body
        wanted = "v1," + base64.b64encode(_mac(_standard_key(key), signed)).decode()
        told = [_equal(one, wanted) for one in given]  # all of them, so that none is told from another by time
        if not any(told):
            return Verdict.WRONG
        return _timely(at, now)

    def _one(self, signature: str, prefix: str, key: bytes) -> Verdict:
        if not signature:
            return Verdict.MISSING
        return Verdict.VALID if _equal(signature, prefix + _mac(key, self.body).hex()) else Verdict.WRONG

    def _plain(self, signature: str, key: bytes) -> Verdict:
        if not signature:
            return Verdict.MISSING
        mac = _mac(key, self.body)
        given = signature.removeprefix("sha256=")
        told = [_equal(given.lower(), mac.hex()), _equal(given, base64.b64encode(mac).decode())]
        return Verdict.VALID if any(told) else Verdict.WRONG


def _timely(at: str, now: datetime) -> Verdict:
    return Verdict.VALID if abs(now.timestamp() - int(at)) <= WINDOW_SECONDS else Verdict.TOO_OLD


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


def _equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(errors="surrogateescape"), wanted.encode())
