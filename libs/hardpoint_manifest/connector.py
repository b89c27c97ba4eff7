"""API connectors: what all endpoints share, and what follows from it although nobody wrote it.

A credential that the document does not declare becomes a required secret, for the host of the base URL alone.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hardpoint_manifest import source as written
from hardpoint_manifest.hosts import host_of
from hardpoint_manifest.model import CONNECTOR_AUTH, OAuth2, Requirement
from hardpoint_manifest.providers import Provider, provider_of

_NAMED: Final = re.compile(r"(?:\$\{|\{\{)\s*([A-Za-z][A-Za-z0-9_]{0,63})\s*\}")
_SETTING: Final = re.compile(r"[A-Z][A-Z0-9_]*")
"""What a setting is called that nobody declares; names in small letters are inputs."""


@dataclass(frozen=True, slots=True)
class Credential:
    """One text of an `auth` that carries what nobody else may know: its field, and what people call it."""

    field: str
    text: str
    label: str


def url_of(api: written.Api, endpoint: written.Endpoint) -> str:
    """The URL template of an endpoint: its path below the base URL."""
    base, path = api.base_url.rstrip("/"), endpoint.path
    return f"{base}{path}" if not path or path.startswith("?") else f"{base}/{path.lstrip('/')}"


def completed(auth: written.Auth | None) -> written.Auth | None:
    """The `auth` of a connector with the settings that stand in for what its author left out."""
    if auth is None:
        return None
    missing: dict[str, str] = {}
    if auth.type in {"bearer", "oauth2"} and not auth.token:
        missing["token"] = "${API_TOKEN}" if auth.type == "bearer" else "${ACCESS_TOKEN}"
    if auth.type == "api_key" and not auth.value:
        missing["value"] = "${API_KEY}"
    if auth.type == "basic":
        missing = {field: f"${{{field.upper()}}}" for field in ("username", "password") if getattr(auth, field) is None}
    return auth.model_copy(update=missing)


def credentials(auth: written.Auth | None) -> Iterator[Credential]:
    """What of an `auth` is filled in for every call."""
    if auth is None:
        return
    if auth.type in {"bearer", "oauth2"}:
        yield Credential("token", auth.token, "API token" if auth.type == "bearer" else "Access token")
    elif auth.type == "api_key":
        yield Credential("value", auth.value, "API key")
    elif auth.type == "basic":
        yield Credential("username", auth.username or "", "User name")
        yield Credential("password", auth.password or "", "Password")


def derived(capability: written.Capability) -> tuple[Requirement, ...]:
    """The secrets that a connector's `auth` names and the document does not declare."""
    if capability.api is None:
        return ()
    auth, declared = completed(capability.api.auth), _declared(capability)
    found: dict[str, Requirement] = {}
    for credential in credentials(auth):
        for key in _NAMED.findall(credential.text):
            if _SETTING.fullmatch(key) and key not in declared and key not in found:
                found[key] = _secret(key, credential.label, capability, capability.api)
    return tuple(found.values())


def oauth2(capability: written.Capability) -> OAuth2 | None:
    """What a connector says of signing in by OAuth2; nothing when no setting holds its token."""
    api = capability.api
    auth = completed(api.auth) if api is not None else None
    if api is None or auth is None or auth.type != "oauth2":
        return None
    declared = _declared(capability)
    keys = [key for key in _NAMED.findall(auth.token) if key in declared or _SETTING.fullmatch(key)]
    if not keys:
        return None
    known = signs_in_at(auth, provider_of(api.base_url))
    return OAuth2(
        setting=keys[0],
        grant=auth.grant,
        authorization_url=known.authorization_url if known else auth.authorization_url,
        token_url=known.token_url if known else auth.token_url,
        scopes=tuple(auth.scopes),
        pkce=auth.pkce,
        revocation_url=auth.revocation_url,
    )


def signs_in_at(auth: written.Auth, provider: Provider | None) -> Provider | None:
    """The known provider whose own pages people sign in at: those that an author names, or who names none.

    The token URL goes with the page: a code that it gives is good at the provider's own address alone, and the client's
    secret has no business at another one.
    """
    if provider is None or auth.grant != "authorization_code":
        return None
    return provider if auth.authorization_url in {"", provider.authorization_url} else None


def _declared(capability: written.Capability) -> set[str]:
    settings = capability.configuration
    return set(settings) if isinstance(settings, dict) else {setting.key for setting in settings}


def _secret(key: str, label: str, capability: written.Capability, api: written.Api) -> Requirement:
    try:
        host = str(host_of(api.base_url))
    except ValueError:
        host = ""
    known = provider_of(api.base_url)
    scopes = api.auth.scopes if api.auth is not None and api.auth.type == "oauth2" else []
    about = f"with the scope{'s' if len(scopes) > 1 else ''} {', '.join(scopes)}" if scopes else ""
    return Requirement(
        key=key,
        label=" ".join(filter(None, (label, f"of {host}" if host else ""))),
        type="secret",
        required=True,
        description=" ".join(filter(None, (label, f"of {host}" if host else "", about))),
        help_url=known.help_url if known else capability.documentation_url,
        hosts=(host,) if host else (),
        pointer=CONNECTOR_AUTH,
    )
