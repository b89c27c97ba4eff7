"""Where in a document HTTP calls are written, and every text of theirs that may hold an expression."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal

from hardpoint_manifest import connector
from hardpoint_manifest import source as written
from hardpoint_manifest.expression import Scope
from hardpoint_manifest.finding import Path
from hardpoint_manifest.model import Action
from hardpoint_manifest.planning.flow import Drawn
from hardpoint_manifest.rules.subject import Subject
from hardpoint_manifest.source_flow import ApiNode

MAX_SITES: Final = 2000
Where = Literal["url", "header", "query", "body", "basic", "mapping", "success", "error", "page"]


@dataclass(frozen=True, slots=True)
class WrittenCall:
    """The HTTP call of one action and where it stands; `api` is what a connector's endpoints share."""

    action: Action
    call: written.Integration | written.Endpoint
    path: Path
    url: str
    url_path: Path
    api: written.Api | None
    auth: written.Auth | None
    auth_path: Path


@dataclass(frozen=True, slots=True)
class Site:
    """One text of an HTTP call in which an expression may stand."""

    action: Action
    where: Where
    path: Path
    text: str

    @property
    def of_response(self) -> bool:
        """Whether the text is an expression about the response, rather than a template of the request."""
        return self.where in {"mapping", "success", "error", "page"}

    def scope(self, subject: Subject) -> Scope:
        """The names that may stand here."""
        if self.of_response:
            return Scope.response(self.action, collected=self.where == "mapping")
        if self.where == "basic":
            return Scope.settings(subject.manifest.requirements)
        return Scope.request(self.action, subject.manifest.requirements)


def calls(subject: Subject) -> Iterator[WrittenCall]:
    """The HTTP call of every action; an integration of the whole capability comes once for each action that uses it."""
    source = subject.source
    if isinstance(source, written.Header):
        return
    yield from _drawn(subject, source)
    for index, declared in enumerate(source.actions):
        action = subject.manifest.action(declared.id)
        call = declared.integration or source.integration
        if action is not None and call is not None:
            path = subject.at("actions", index, "integration") if declared.integration else subject.at("integration")
            url_path, auth_path = (*path, "endpoint"), (*path, "auth")
            yield WrittenCall(action, call, path, call.endpoint, url_path, None, call.auth, auth_path)
    for index, endpoint in enumerate(source.endpoints):
        action = subject.manifest.action(endpoint.id)
        if action is not None and action.http is not None and source.api is not None:
            path, api, auth_path = subject.at("endpoints", index), source.api, subject.at("api", "auth")
            auth = connector.completed(api.auth)
            yield WrittenCall(action, endpoint, path, action.http.url, (*path, "path"), api, auth, auth_path)


def _drawn(subject: Subject, source: written.Capability) -> Iterator[WrittenCall]:
    for graph in Drawn(source.flow).graphs() if source.flow is not None else ():
        for node, path in graph.nodes():
            action = subject.manifest.inner_action(node.id)
            if isinstance(node, ApiNode) and action is not None:
                call, place = node.integration, (*path, "integration")
                url_path, auth_path = (*place, "endpoint"), (*place, "auth")
                yield WrittenCall(action, call, place, call.endpoint, url_path, None, call.auth, auth_path)


def sites(subject: Subject) -> Iterator[Site]:
    """Every text in which an expression may stand, up to MAX_SITES of them."""
    return islice((site for call in calls(subject) for site in _sites(subject, call)), MAX_SITES)


def _sites(subject: Subject, written_call: WrittenCall) -> Iterator[Site]:
    action, call, path, api = written_call.action, written_call.call, written_call.path, written_call.api
    yield Site(action, "url", written_call.url_path, written_call.url)
    yield from _credentials(written_call)
    yield from _texts(action, "header", (*path, "headers"), call.headers)
    yield from _texts(action, "query", (*path, "params"), call.params)
    yield from _texts(action, "body", (*path, "body"), call.body)
    yield from _texts(action, "mapping", (*path, "response_mapping"), call.response_mapping)
    yield from _texts(action, "success", (*path, "success"), call.success)
    yield from _texts(action, "error", (*path, "error"), call.error)
    pages = call.pagination if isinstance(call, written.Endpoint) else None
    if pages is not None:
        yield Site(action, "page", (*path, "pagination", "items"), pages.items)
        yield from _texts(action, "page", (*path, "pagination", "cursor"), pages.cursor)
    if api is not None:
        yield from _texts(action, "header", subject.at("api", "headers"), api.headers)
        yield from _texts(action, "success", subject.at("api", "success"), api.success)
        yield from _texts(action, "error", subject.at("api", "error"), api.error)


def _credentials(written_call: WrittenCall) -> Iterator[Site]:
    auth, path = written_call.auth, written_call.auth_path
    for credential in connector.credentials(auth):
        where: Where = "basic" if auth and auth.type == "basic" else auth.location if auth else "header"
        yield Site(written_call.action, where, (*path, credential.field), credential.text)


def _texts(action: Action, where: Where, path: Path, value: Any) -> Iterator[Site]:
    if isinstance(value, str):
        yield Site(action, where, path, value)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _texts(action, where, (*path, key), part)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _texts(action, where, (*path, index), part)
