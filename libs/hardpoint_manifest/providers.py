"""Providers of web APIs of which something is known that their documents rarely say: a fixed table, no guesses.

Each entry repeats what the provider's own documentation states.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Provider:
    """What is known about one provider: where OAuth2 happens, where people make tokens, and how it says no."""

    authorization_url: str
    token_url: str
    help_url: str
    success: str
    error: str


# api.slack.com/web: every answer says in `ok` whether it worked, whatever its status.
_PROVIDERS: Final = {
    "slack.com": Provider(
        authorization_url="https://slack.com/oauth/v2/authorize",
        token_url="https://slack.com/api/oauth.v2.access",  # noqa: S106 - an address, not a password
        help_url="https://api.slack.com/apps",
        success="data.ok",
        error="data.error",
    )
}


def provider_of(url: str) -> Provider | None:
    """The provider that a URL leads to, where it is a known one."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return None
    return next((known for name, known in _PROVIDERS.items() if host == name or host.endswith(f".{name}")), None)
