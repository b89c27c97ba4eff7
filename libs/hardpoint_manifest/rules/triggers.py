"""Rules about triggers: a webhook proves where its deliveries come from, and what is waited for does come."""

from collections.abc import Iterator
from typing import Final

from hardpoint_manifest import source as written
from hardpoint_manifest.authority import nearest
from hardpoint_manifest.events import EVENTS, sent_as
from hardpoint_manifest.expression import ExpressionError, Scope, Structure, compile
from hardpoint_manifest.finding import Finding, PatchOp, Path, pointer
from hardpoint_manifest.headers import SENDERS, is_senders
from hardpoint_manifest.planning.calls import expression
from hardpoint_manifest.rules.expressions import explain
from hardpoint_manifest.rules.subject import Subject

_CRON_FIELDS: Final = 5
_PROVIDERS: Final = {"slack.com": "slack", "github.com": "github"}


def check(subject: Subject) -> Iterator[Finding]:
    """Every trigger."""
    ids = [action.id for action in subject.manifest.actions]
    for index, trigger in enumerate(subject.source.triggers):
        path = subject.at("triggers", index)
        if trigger.action is not None and trigger.action not in ids:
            close = nearest(trigger.action, ids)
            fix = f"did you mean {close}?" if close else ""
            yield subject.error("dangling-reference", (*path, "action"), f"there is no action {trigger.action}", fix)
        if trigger.type == "webhook":
            yield from _webhook(subject, path, trigger)
        elif trigger.type == "schedule" and len(trigger.schedule.split()) != _CRON_FIELDS:
            message = f"{trigger.schedule!r} is no schedule" if trigger.schedule else "says no schedule"
            fix = 'write minute, hour, day, month and weekday: "0 9 * * mon-fri"'
            yield subject.error("trigger-schedule", path if not trigger.schedule else (*path, "schedule"), message, fix)
        elif trigger.type == "event" and trigger.event not in EVENTS:
            place = (*path, "event") if trigger.event else path
            close = nearest(trigger.event, EVENTS) if trigger.event else None
            fix = f"say event: {close}" if close else f"say one of {', '.join(EVENTS)}"
            yield subject.error("trigger-event", place, f"nothing tells of {trigger.event!r}", fix)
        yield from _expressions(subject, path, trigger)


def _expressions(subject: Subject, path: Path, trigger: written.SourceTrigger) -> Iterator[Finding]:
    """The filter, and the input that an event becomes."""
    try:
        if trigger.filter:
            compile(expression(trigger.filter), Scope.of("event", "trigger", "file"))
    except ExpressionError as error:
        yield explain(subject, (*path, "filter"), error)
    try:
        if trigger.order_by:
            compile(expression(trigger.order_by), Scope.of("event", "trigger"))
    except ExpressionError as error:
        yield explain(subject, (*path, "order_by"), error)
    try:
        Structure.parse(trigger.input, Scope.of("event", "trigger"))
    except ExpressionError as error:
        yield explain(subject, (*path, "input"), error)


def _webhook(subject: Subject, path: Path, trigger: written.SourceTrigger) -> Iterator[Finding]:
    verifier = trigger.verifier
    if verifier is None:
        yield _no_verifier(subject, path)
    elif verifier.kind == "none":
        message = "without a verifier every delivery is refused, unless an operator allows unsigned ones"
        yield subject.warning("webhook-refused", (*path, "verifier"), message, "name how the sender signs")
    elif verifier.kind == "hmac" and verifier.header is None:
        message = "the verifier hmac needs the name of the header with the signature"
        yield subject.error("webhook-verifier", (*path, "verifier"), message, "add header: x-signature")
    elif verifier.secret is None:
        message = f"the verifier {verifier.kind} needs the key of a secret"
        yield subject.error("webhook-verifier", (*path, "verifier"), message, "add secret: SIGNING_SECRET")
    else:
        requirement = subject.manifest.requirement(verifier.secret)
        place = (*path, "verifier", "secret")
        if requirement is None:
            patch = subject.add_setting(verifier.secret, "secret")
            message = f"{verifier.secret} is not declared"
            yield subject.error("undeclared-name", place, message, "declare it as a secret", patch)
        elif not requirement.secret:
            yield subject.error("webhook-verifier", place, f"{verifier.secret} is no secret", "set type: secret")
    if verifier is not None:
        yield from _headers(subject, (*path, "verifier"), verifier)
    if verifier is not None and trigger.event and not trigger.filter and not sent_as(verifier.kind, trigger.event):
        message = f"where its sender writes {trigger.event!r} is not known, so every delivery starts a run"
        fix = "say it in a filter, such as filter: event.type == 'order.paid'"
        yield subject.warning("webhook-event", (*path, "event"), message, fix)


def _headers(subject: Subject, path: Path, verifier: written.SourceVerifier) -> Iterator[Finding]:
    """Those that are named belong to hmac, and come to whoever looks at them."""
    named = {"header": verifier.header, "id_header": verifier.id_header, "timestamp_header": verifier.timestamp_header}
    for field, name in named.items():
        place = (*path, field)
        if name is None:
            continue
        if verifier.kind != "hmac" and field != "header":
            message = f"{field} is of hmac: where {verifier.kind} says it is known"
            if verifier.kind == "none":
                message = f"{field} is of hmac: without a signature nothing that is said there proves anything"
            patch = PatchOp("remove", pointer(place))
            yield subject.error("webhook-verifier", place, message, f"remove {field}", (patch,))
        elif verifier.kind == "hmac" and not is_senders(name.lower()):
            message = f"a header {name} is not handed on"
            yield subject.error("webhook-verifier", place, message, f"name one that is: {SENDERS}")


def _no_verifier(subject: Subject, path: Path) -> Finding:
    provider = next((kind for domain, kind in _PROVIDERS.items() if _calls(subject, domain)), "hmac")
    key = "SIGNING_SECRET"
    declare = () if subject.manifest.requirement(key) else subject.add_setting(key, "secret")
    header = {"header": "x-signature"} if provider == "hmac" else {}
    patch = PatchOp("add", pointer((*path, "verifier")), {"kind": provider, "secret": key, **header})
    return subject.warning(
        "webhook-verifier",
        path,
        "nothing proves where deliveries come from, so every delivery will be refused",
        f"add verifier: {{ kind: {provider}, secret: {key} }} (slack, github, standard-webhooks, hmac, none)",
        (patch, *declare),
    )


def _calls(subject: Subject, domain: str) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for host in subject.manifest.hosts)
