"""Rules about credentials of web APIs: OAuth2 is complete, and a provider's way to say no is understood."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from hardpoint_manifest import source as written
from hardpoint_manifest.finding import Finding, PatchOp, Path, pointer
from hardpoint_manifest.rules.subject import Subject


@dataclass(frozen=True, slots=True)
class Provider:
    """What is known about one provider of web APIs."""

    authorize_url: str
    token_url: str
    success: str
    error: str


# api.slack.com: every answer has status 200 and says in `ok` whether it worked.
_PROVIDERS: Final = {
    "slack.com": Provider(
        authorize_url="https://slack.com/oauth/v2/authorize",
        token_url="https://slack.com/api/oauth.v2.access",  # noqa: S106 - an address, not a password
        success="data.ok",
        error="data.error",
    )
}


def check(subject: Subject) -> Iterator[Finding]:
    """Every place that says how an API is called."""
    if isinstance(subject.source, written.Header):
        return
    for path, auth, url in _auths(subject, subject.source):
        provider = _provider(url)
        if auth is not None:
            yield from _auth(subject, (*path, "auth"), auth, provider)
        if provider is not None:
            yield from _success(subject, path, provider)


def _auths(subject: Subject, source: written.Capability) -> Iterator[tuple[Path, written.Auth | None, str]]:
    if source.api is not None:
        yield subject.at("api"), source.api.auth, source.api.base_url
    if source.integration is not None:
        yield subject.at("integration"), source.integration.auth, source.integration.endpoint
    for index, action in enumerate(source.actions):
        if action.integration is not None:
            path = subject.at("actions", index, "integration")
            yield path, action.integration.auth, action.integration.endpoint


def _provider(url: str) -> Provider | None:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return None
    return next((known for name, known in _PROVIDERS.items() if host == name or host.endswith(f".{name}")), None)


def _auth(subject: Subject, path: Path, auth: written.Auth, provider: Provider | None) -> Iterator[Finding]:
    if auth.type == "bearer" and not auth.token:
        yield subject.error("auth-incomplete", path, "bearer needs a token", "add token: ${API_TOKEN}")
    if auth.type == "api_key" and not (auth.name and auth.value):
        yield subject.error(
            "auth-incomplete", path, "api_key needs a name and a value", "add name and value: ${API_KEY}"
        )
    if auth.type == "oauth2":
        message = "this release cannot connect accounts by OAuth2, so the capability cannot run"
        fix = "use a token until then: auth: { type: bearer, token: ${ACCESS_TOKEN} }"
        yield subject.error("auth-not-supported", (*path, "type"), message, fix)
        yield from _oauth(subject, path, auth, provider)


def _oauth(subject: Subject, path: Path, auth: written.Auth, provider: Provider | None) -> Iterator[Finding]:
    if not auth.authorize_url:
        place = (*path, "authorize_url")
        patch = (PatchOp("add", pointer(place), provider.authorize_url),) if provider else ()
        fix = f"add {provider.authorize_url}" if provider else "it is in the provider's documentation"
        yield subject.error("oauth-authorize-url", place, "nothing says where people give their consent", fix, patch)
    if provider and auth.token_url != provider.token_url:
        place = (*path, "token_url")
        patch = (PatchOp("replace" if auth.token_url else "add", pointer(place), provider.token_url),)
        message = f"{auth.token_url or 'no token_url'} is not where the provider exchanges codes"
        yield subject.error("oauth-token-url", place, message, f"use {provider.token_url}", patch)
    elif not auth.token_url:
        yield subject.error("oauth-token-url", (*path, "token_url"), "nothing says where codes are exchanged")
    if not auth.pkce:
        place = (*path, "pkce")
        patch = (PatchOp("add", pointer(place), True),)
        yield subject.error("oauth-pkce", place, "a stolen code could be used by others", "add pkce: true", patch)


def _success(subject: Subject, path: Path, provider: Provider) -> Iterator[Finding]:
    if all(action.http is None or action.http.success for action in subject.manifest.actions):
        return
    patch = (
        PatchOp("add", pointer((*path, "success")), provider.success),
        PatchOp("add", pointer((*path, "error")), provider.error),
    )
    message = "the provider answers with status 200 even when a call fails"
    fix = f"add success: {provider.success} and error: {provider.error}"
    yield subject.error("no-success", (*path, "success"), message, fix, patch)
