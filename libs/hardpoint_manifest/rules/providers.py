"""Rules about credentials of web APIs: they are complete, and a provider's way to say no is understood."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from hardpoint_manifest import connector
from hardpoint_manifest import source as written
from hardpoint_manifest.expression import ExpressionError, Scope, Template
from hardpoint_manifest.finding import Finding, PatchOp, Path, pointer
from hardpoint_manifest.hosts import host_of
from hardpoint_manifest.providers import Provider, provider_of
from hardpoint_manifest.rules.subject import Subject

_FIELDS: Final = {
    "none": set(),
    "bearer": {"token"},
    "basic": {"username", "password"},
    "api_key": {"name", "location", "value"},
    "oauth2": {"token", "grant", "authorization_url", "token_url", "scopes", "pkce", "revocation_url"},
}


def check(subject: Subject) -> Iterator[Finding]:
    """Every place that says how an API is called."""
    if isinstance(subject.source, written.Header):
        return
    for path, auth, url in _auths(subject, subject.source):
        provider = provider_of(url)
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


def _auth(subject: Subject, path: Path, auth: written.Auth, provider: Provider | None) -> Iterator[Finding]:
    connects = path == subject.at("api", "auth")
    whole = (connector.completed(auth) if connects else auth) or auth
    if whole.type == "bearer" and not whole.token:
        yield subject.error("auth-incomplete", path, "bearer needs a token", "add token: ${API_TOKEN}")
    if whole.type == "api_key" and not (whole.name and whole.value):
        message = "api_key needs the name of its header or parameter" if whole.value else "api_key needs a value"
        yield subject.error("auth-incomplete", path, message, "add name: X-Api-Key and value: ${API_KEY}")
    if whole.type == "basic":
        yield from _basic(subject, path, whole)
    for field in sorted(auth.model_fields_set - _FIELDS[auth.type] - {"type"}):
        name = "in" if field == "location" else field
        message = f"`{name}` means nothing where the type is {auth.type}"
        yield subject.warning("auth-unused", (*path, name), message, "remove it", (_removed((*path, name)),))
    if auth.type == "oauth2" and connects:
        if subject.manifest.oauth2 is None:
            message = "the access token is no setting, so it would stand where everybody can read it"
            yield subject.error("credential-not-secret", (*path, "token"), message, "write token: ${ACCESS_TOKEN}")
        yield from _oauth(subject, path, auth, provider)
    elif auth.type == "oauth2":
        message = "only an API connector knows OAuth2, so the action cannot run"
        fix = "use `api` and `endpoints`, or a token: auth: { type: bearer, token: ${ACCESS_TOKEN} }"
        yield subject.error("auth-not-supported", (*path, "type"), message, fix)


def _removed(path: Path) -> PatchOp:
    return PatchOp("remove", pointer(path))


def _basic(subject: Subject, path: Path, auth: written.Auth) -> Iterator[Finding]:
    """A name and a password, of which one at least only the broker knows."""
    if auth.username is None or auth.password is None:
        message, fix = "basic needs a user name and a password", "add username: ${USERNAME} and password: ${PASSWORD}"
        yield subject.error("auth-incomplete", path, message, fix)
        return
    scope = Scope.settings(subject.manifest.requirements)
    try:
        used = {
            one.root
            for text in (auth.username, auth.password)
            for expression in Template.parse(text, scope).expressions
            for one in expression.source.paths
        }
    except ExpressionError:
        return  # told with the expression
    if not used & scope.secrets:
        message = "neither the user name nor the password is a secret"
        yield subject.error("credential-not-secret", path, message, "write password: ${PASSWORD}, a secret")


def _oauth(subject: Subject, path: Path, auth: written.Auth, provider: Provider | None) -> Iterator[Finding]:
    """What signing in needs. A token can be pasted instead, so nothing of it stops a release but a wrong address."""
    for field in ("authorization_url", "token_url", "revocation_url"):
        url = getattr(auth, field)
        if url and not _is_https(url):
            message = f"`{field}` is no https URL of a public host; codes and tokens travel there"
            yield subject.error("invalid-url", (*path, field), message)
    signs_in = subject.manifest.oauth2
    if auth.revocation_url and signs_in is not None and _place(auth.revocation_url) != _place(signs_in.token_url):
        message = "`revocation_url` is not where tokens come from, and they travel nowhere else"
        yield subject.error("oauth-revocation-url", (*path, "revocation_url"), message, "remove it")
    taken = connector.signs_in_at(auth, provider) is not None
    if not auth.authorization_url and auth.grant == "authorization_code":
        place = (*path, "authorization_url")
        patch = (PatchOp("add", pointer(place), provider.authorization_url),) if provider else ()
        fix = f"add {provider.authorization_url}" if provider else "it is in the provider's documentation"
        message = "nothing says where people will give their consent"
        message += ", so it is where the provider has it" if taken else ""
        yield subject.warning("oauth-authorization-url", place, message, fix, patch)
    if provider and auth.token_url != provider.token_url:
        place = (*path, "token_url")
        patch = (PatchOp("replace" if auth.token_url else "add", pointer(place), provider.token_url),)
        message = f"{auth.token_url or 'no token_url'} is not where the provider exchanges codes"
        message += ", so it is not used" if taken else ""
        yield subject.warning("oauth-token-url", place, message, f"use {provider.token_url}", patch)
    elif not auth.token_url:
        yield subject.warning("oauth-token-url", (*path, "token_url"), "nothing says where codes are exchanged")
    if not auth.pkce and auth.grant == "authorization_code":
        place = (*path, "pkce")
        patch = (_removed(place),)
        yield subject.warning("oauth-pkce", place, "a stolen code could be used by others", "remove pkce: false", patch)
    for index, scope in enumerate(auth.scopes):
        if not scope.isascii() or not scope.isprintable() or " " in scope:
            message = f"{scope!r} is no scope: one has no spaces"
            yield subject.error("oauth-scope", (*path, "scopes", index), message, "write each scope by itself")


def _place(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _is_https(url: str) -> bool:
    try:
        host_of(url)
    except ValueError:
        return False
    return url.lower().startswith("https://") and "${" not in url and "{{" not in url


def _success(subject: Subject, path: Path, provider: Provider) -> Iterator[Finding]:
    """The provider's own way to say no is used where the author names none; a way that nobody documents is no guess."""
    call = subject.document.value(path) or {}
    if call.get("success") or not _falls_back(subject, path):
        return
    patch = [PatchOp("add", pointer((*path, "success")), provider.success)]
    if not call.get("error"):
        patch.append(PatchOp("add", pointer((*path, "error")), provider.error))
    message = f"whether a call worked is read from {provider.success}: the provider answers so whatever the status is"
    fix = f"write success: {provider.success} and error: {provider.error}, or what holds instead"
    yield subject.info("derived-success", path, message, fix, tuple(patch))


def _falls_back(subject: Subject, path: Path) -> bool:
    """Whether some endpoint leaves it to what all share."""
    if isinstance(subject.source, written.Header) or path != subject.at("api"):
        return True
    return any(endpoint.success is None for endpoint in subject.source.endpoints)
