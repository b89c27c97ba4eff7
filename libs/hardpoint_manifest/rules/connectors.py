"""Rules about API connectors: endpoints stay below their base URL, and repeat only what may be repeated."""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from hardpoint_manifest import source as written
from hardpoint_manifest.finding import Finding, PatchOp, Path, pointer
from hardpoint_manifest.model import REPEATABLE
from hardpoint_manifest.normalise import parameters
from hardpoint_manifest.rules.sites import WrittenCall, calls
from hardpoint_manifest.rules.subject import Subject

_PLACEHOLDER: Final = re.compile(r"\$\{[^{}]*\}|\{\{[^{}]*\}\}")
_PAGING: Final = {"cursor": {"cursor", "parameter"}, "page": {"parameter", "first"}, "link": set()}
_PLAIN: Final = re.compile(r"[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]*")


def check(subject: Subject) -> Iterator[Finding]:
    """The base URL, every endpoint's path, and what is made again."""
    if isinstance(subject.source, written.Header):
        return
    api = subject.source.api
    if api is not None:
        yield from _base_url(subject, api)
        for index, endpoint in enumerate(subject.source.endpoints):
            yield from _path(subject, subject.at("endpoints", index, "path"), endpoint.path)
        for index, endpoint in enumerate(subject.source.endpoints):
            if endpoint.pagination is not None:
                yield from _pages(subject, subject.at("endpoints", index, "pagination"), endpoint, endpoint.pagination)
    for call in calls(subject):
        yield from _repeated(subject, call)


def _base_url(subject: Subject, api: written.Api) -> Iterator[Finding]:
    path = subject.at("api", "base_url")
    if "?" in api.base_url or "#" in api.base_url:
        message = "a base URL has no query and no fragment: paths follow it"
        yield subject.error("invalid-url", path, message, "move them to `params` of the endpoints")
    if api.base_url.partition("://")[2].partition("/")[2]:
        yield from _path(subject, path, api.base_url.partition("://")[2].partition("/")[2])


def _path(subject: Subject, path: Path, text: str) -> Iterator[Finding]:
    """What stands in a path as it is: nothing that climbs, also where a server decodes before it looks."""
    plain = _PLACEHOLDER.sub("x", text)
    steps = re.split(r"[/\\]", unquote(plain.partition("?")[0]))
    if {".", ".."} & set(steps):
        message = "a path stays below the base URL: it has no `.` and no `..`, however they are written"
        yield subject.error("path-escapes", path, message, "write the path that they lead to")
    elif not _PLAIN.fullmatch(plain):
        message = f"{plain[:64]!r} holds a character that no path may have"
        yield subject.error("invalid-url", path, message, "percent-encode it; a fragment (#) is never sent")


def _pages(subject: Subject, path: Path, endpoint: written.Endpoint, pages: written.Pagination) -> Iterator[Finding]:
    """A list is read, and each kind of pages has what it needs and nothing of another."""
    if endpoint.method != "GET":
        message = f"{endpoint.id} is a {endpoint.method}, and only what a GET lists has pages"
        yield subject.error("pagination-method", path, message, "remove `pagination`")
    for field in sorted(field for field in _PAGING[pages.kind] if getattr(pages, field) is None):
        message = f"pages by {pages.kind} need a `{field}`"
        fix = "the name of the query parameter" if field == "parameter" else "such as cursor: data.next_cursor"
        yield subject.error("pagination-incomplete", path, message, fix)
    for field in sorted(pages.model_fields_set & {"cursor", "parameter", "first"} - _PAGING[pages.kind]):
        place = (*path, field)
        message = f"`{field}` means nothing to pages by {pages.kind}"
        yield subject.warning("pagination-unused", place, message, "remove it", (PatchOp("remove", pointer(place)),))
    outputs = {output.name for output in parameters(endpoint.outputs)}
    if not endpoint.response_mapping and outputs - {"items", "more"}:
        message = f"{endpoint.id} gives `items` and `more`, and declares {', '.join(sorted(outputs))}"
        yield subject.error("unmapped-output", path, message, "map them: response_mapping: { name: items }")


def _repeated(subject: Subject, call: WrittenCall) -> Iterator[Finding]:
    """Retries that were asked for where a request may not be made twice."""
    http, asked = call.action.http, call.call.retry
    if http is None or not asked or http.method in REPEATABLE or http.idempotency_header:
        return
    message = f"{call.action.id} is not made again: a {http.method} may have happened although its answer is lost"
    fix = "say in which header the API takes a key: idempotency: { header: Idempotency-Key }; or remove `retry`"
    patch = (PatchOp("remove", pointer((*call.path, "retry"))),)
    yield subject.warning("retry-without-key", (*call.path, "retry"), message, fix, patch)
