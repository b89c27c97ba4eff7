"""An organisation's mail server as a URL says it that is a secret: the same for what is sent and for what is read."""

from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote

from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.means import Means
from hardpoint_executor.broker.policy import parts_of, service_of


@dataclass(frozen=True, slots=True)
class Kind:
    """What is spoken: `smtp` is its scheme, `smtps` that of the same under TLS, each with its port."""

    scheme: str
    port: int
    tls_port: int
    what: str
    """What the URL is of, in messages."""
    needs_login: bool = False
    """Whether it is of no use without one, which its commands hold in ASCII alone."""


SMTP = Kind("smtp", 587, 465, "a mail server")
IMAP = Kind("imap", 143, 993, "a mailbox", needs_login=True)


@dataclass(frozen=True, slots=True)
class Server:
    """Where it is and who logs in. Without `tls` it begins in the clear and turns to TLS (STARTTLS)."""

    host: str
    port: int
    tls: bool
    user: str
    password: str = field(repr=False)

    @classmethod
    def of(cls, means: Means, key: str, kind: Kind, what: str) -> Self:
        """That of a secret, which `what` needs; raises BrokerDenied SETTING_MISSING, SETTING_INVALID."""
        url = means.secret(key, what)
        try:
            return cls.parse(url, kind)
        except ValueError as error:
            raise BrokerDenied(
                DenialCode.SETTING_INVALID,
                f"{key} is not the URL of {kind.what}: {error}",
                f"set {key} to {kind.scheme}://user:password@host:{kind.port}, or to {kind.scheme}s://, under TLS from "
                f"the start, at {kind.tls_port}",
                setting=key,
            ) from None

    @classmethod
    def parse(cls, url: str, kind: Kind) -> Self:
        """Read a URL; raises ValueError saying what is wrong with it, without repeating it."""
        parts = parts_of(url)
        if parts.scheme not in (kind.scheme, f"{kind.scheme}s"):
            raise ValueError(f"it does not begin with {kind.scheme}:// or {kind.scheme}s://")
        if parts.query or parts.fragment or parts.path.strip("/"):
            raise ValueError("it has more than a user, a password, a host and a port")
        tls = parts.scheme != kind.scheme
        target = service_of(parts, kind.tls_port if tls else kind.port)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if kind.needs_login and not (_is_plain(user) and _is_plain(password.replace(" ", "_"))):
            raise ValueError("it has no user or no password, or one with a character that is not ASCII")
        return cls(target.host, target.port, tls, user, password)


def _is_plain(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and " " not in text
