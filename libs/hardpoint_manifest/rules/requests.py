"""Rules about HTTP actions: each has a call, its headers may be sent, its mapping meets its outputs."""

from collections.abc import Iterator
from typing import Final

from hardpoint_manifest import source as written
from hardpoint_manifest.authority import nearest
from hardpoint_manifest.finding import Finding
from hardpoint_manifest.model import Kind
from hardpoint_manifest.rules.sites import WrittenCall, calls
from hardpoint_manifest.rules.subject import Subject

_OURS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"})


def check(subject: Subject) -> Iterator[Finding]:
    """Every HTTP action, and every request that is drawn."""
    if not isinstance(subject.source, written.Header) and subject.manifest.kind is Kind.HTTP:
        yield from _actions(subject, subject.source)
    for call in calls(subject):
        yield from _call(subject, call)
        yield from _mapping(subject, call)


def _actions(subject: Subject, source: written.Capability) -> Iterator[Finding]:
    if not subject.manifest.actions:
        yield subject.error("no-actions", subject.at(), "the capability has no actions", "add `actions` or `endpoints`")
    if source.endpoints and source.api is None:
        message = "`endpoints` need an `api` with a `base_url`"
        yield subject.error("no-api", subject.at("endpoints"), message)
    for index, action in enumerate(source.actions):
        if action.integration is None and source.integration is None:
            message = f"nothing says how {action.id} works"
            yield subject.error("no-integration", subject.at("actions", index), message, "add an `integration`")


def _call(subject: Subject, written_call: WrittenCall) -> Iterator[Finding]:
    call, path = written_call.call, written_call.path
    named = [((*path, "headers", name), name) for name in call.headers]
    if written_call.api is not None:
        named += [((*subject.at("api", "headers"), name), name) for name in written_call.api.headers]
    if call.idempotency is not None:
        named.append(((*path, "idempotency", "header"), call.idempotency.header))
    elif written_call.api is not None and written_call.api.idempotency is not None:
        named.append((subject.at("api", "idempotency", "header"), written_call.api.idempotency.header))
    for place, name in named:
        if name.lower() in _OURS or name.lower().startswith("proxy-") or not _is_token(name):
            message = f"the header {name[:64]!r} cannot be set"
            yield subject.error("header-refused", place, message, "remove it")
    if call.body is not None and call.method in {"GET", "HEAD"}:
        yield subject.error("body-refused", (*path, "body"), f"{call.method} requests have no body", "use `params`")
    if call.body_type == "form" and not isinstance(call.body, dict):
        yield subject.error("body-type", (*path, "body_type"), "a form needs a body of names and values")
    if call.body_type == "raw" and not isinstance(call.body, str):
        yield subject.error("body-type", (*path, "body_type"), "a raw body is one text")


def _mapping(subject: Subject, written_call: WrittenCall) -> Iterator[Finding]:
    action, mapping = written_call.action, written_call.call.response_mapping
    path = (*written_call.path, "response_mapping")
    outputs = [output.name for output in action.outputs]
    for name in mapping:
        if outputs and name not in outputs:
            close = nearest(name, outputs)
            fix = f"did you mean {close}?" if close else f"declare it in the outputs of {action.id}"
            yield subject.error("unknown-output", (*path, name), f"{name} is no output of {action.id}", fix)
    unmapped = [name for name in outputs if name not in mapping]
    if mapping and unmapped:
        message = f"{action.id} declares {', '.join(unmapped)}, which no mapping fills"
        yield subject.error("unmapped-output", path, message)


def _is_token(name: str) -> bool:
    return name.isascii() and all(character.isalnum() or character in "!#$%&'*+-.^_`|~" for character in name)
