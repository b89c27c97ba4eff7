"""From what an author wrote to the one model: every dialect ends here.

Total on checked sources: what is wrong with a source is found by `rules`, not here.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, cast

from hardpoint_manifest import connector, examples, services
from hardpoint_manifest import source as written
from hardpoint_manifest.authority import PERMISSIONS, Authority, HostRule, http_permission
from hardpoint_manifest.engine import ENGINES, LIBRARIES, ONLY_IN_SLOTS
from hardpoint_manifest.finding import Path, pointer
from hardpoint_manifest.hosts import host_of
from hardpoint_manifest.model import (
    REPEATABLE,
    Action,
    Basic,
    Body,
    HttpCall,
    Kind,
    Limits,
    Manifest,
    Pagination,
    Parameter,
    Requirement,
    Trigger,
    Verifier,
)
from hardpoint_manifest.plan import ACTION
from hardpoint_manifest.planning import Planned, flow, workflow
from hardpoint_manifest.planning.calls import expression
from hardpoint_manifest.providers import provider_of
from hardpoint_manifest.standard import STANDARD_ACTIONS
from hardpoint_manifest.version import Version

DEFAULT_VERSION: Final = "0.1.0"
FORM_TYPE: Final = "application/x-www-form-urlencoded"
Language = Literal["python", "javascript"]
Engine = Literal["node", "quickjs"]
_WRITING: Final = frozenset(
    {"data.write", "data.delete", "file.write", "network.websocket"}
    | {"network.http.post", "network.http.put", "network.http.patch", "network.http.delete"}
    | {"integration.email", "integration.calendar", "integration.crm"}
)


def declarative(capability: written.Capability) -> Manifest:
    """The manifest of a YAML or JSON file."""
    kind = kind_of(capability)
    planned = _planned(capability)
    if kind is Kind.HTTP:
        declared = (_declared_action(action, capability.integration) for action in capability.actions)
        endpoints = (_endpoint_action(endpoint, capability.api) for endpoint in capability.endpoints)
        planned = Planned((*declared, *endpoints))
    return _manifest(capability, kind, None, planned, capability.configuration, capability.hosts)


def _planned(capability: written.Capability) -> Planned:
    """What a workflow or a flow comes to; nothing for other kinds."""
    if capability.workflow is not None:
        work = capability.workflow
        return workflow.planned(capability, work, parameters(work.inputs), parameters(work.outputs))
    if capability.flow is not None:
        of_code = _effect(capability.permissions)
        return flow.planned(capability, capability.flow, parameters, _request, of_code)
    return Planned()


def _request(integration: written.Integration) -> HttpCall:
    return _call(integration, integration.endpoint, integration.auth, None)


def _effect(permissions: Iterable[str]) -> Literal["read", "write"]:
    """What code does without a word on it: what it may write decides."""
    return "write" if _WRITING & set(permissions) else "read"


def code(header: written.Header, language: str) -> Manifest:
    """The manifest of a code file; without a word on effects, what it may write decides."""
    effect = _effect(header.permissions)
    actions = tuple(
        Action(
            id=action.id,
            name=action.name or action.id,
            description=action.description,
            inputs=parameters(action.inputs),
            outputs=parameters(action.outputs),
            effect=action.effect or effect,
            idempotent=action.idempotent or (action.effect or effect) == "read",
        )
        for action in header.actions
        if is_exported(action, header)
    )
    hosts = [*header.hosts, *header.allowed_domains]
    planned = Planned(actions, calls=tuple(dict.fromkeys(header.calls)))
    return _manifest(header, Kind.CODE, cast("Language", language), planned, header.config, hosts)


def kind_of(capability: written.Capability) -> Kind:
    """What the content of a declarative file makes it."""
    if capability.workflow is not None or capability.type == "workflow":
        return Kind.WORKFLOW
    if capability.flow is not None or capability.type == "flow":
        return Kind.FLOW
    return Kind.HTTP


def is_exported(action: written.HeaderAction, header: written.Header) -> bool:
    """Whether a function of a code file is an action: named in `exports`, or without those async or declared.

    The others are helpers. The jail decides the same way, so what is advertised can be called.
    """
    if header.exports is not None:
        return action.id in header.exports
    return action.is_async or action.declared


def parameters(source: list[written.NamedParameter] | dict[str, written.ParameterBody]) -> tuple[Parameter, ...]:
    """The parameters, whether written as a list or under their names."""
    if isinstance(source, dict):
        return tuple(_parameter(name, body) for name, body in source.items())
    return tuple(_parameter(body.name, body) for body in source)


def requirements(
    source: list[written.NamedSetting] | dict[str, written.SettingBody], path: Path, hosts: Iterable[str]
) -> tuple[Requirement, ...]:
    """The settings and secrets, whether written as a list or under their keys, at this path of the document.

    A secret that names no hosts of its own may go to the manifest's: what an author wrote down and an org agreed to,
    whatever a grant may say later.
    """
    named: Iterable[tuple[str | int, str, written.SettingBody]]
    if isinstance(source, dict):
        named = ((key, key, body) for key, body in source.items())
    else:
        named = ((index, body.key, body) for index, body in enumerate(source))
    return tuple(
        Requirement(
            key=key,
            label=body.label or key,
            type=body.type,
            required=body.required,
            default=body.default,
            description=body.description,
            help_url=body.help_url,
            hosts=tuple(str(rule) for rule in _rules(body.hosts or hosts)) if body.type == "secret" else (),
            pointer=pointer((*path, place)),
        )
        for place, key, body in named
    )


def _parameter(name: str, body: written.ParameterBody) -> Parameter:
    return Parameter(
        name=name,
        type=body.type,
        required=body.required,
        description=body.description,
        default=body.default,
        enum=tuple(body.enum),
        items=_parameter("item", body.items) if body.items else None,
        properties=parameters(body.properties),
    )


def _declared_action(action: written.SourceAction, shared: written.Integration | None) -> Action:
    integration = action.integration or shared
    call = None
    if integration is not None:
        call = _request(integration)
    return _http_action(action, call)


def _endpoint_action(endpoint: written.Endpoint, api: written.Api | None) -> Action:
    if api is None:
        return _http_action(endpoint, None)
    url = connector.url_of(api, endpoint)
    return _http_action(endpoint, _call(endpoint, url, connector.completed(api.auth), api))


def _http_action(action: written.SourceAction | written.Endpoint, call: HttpCall | None) -> Action:
    reads = call is None or call.method in {"GET", "HEAD"}
    again = call is not None and (call.method in REPEATABLE or bool(call.idempotency_header))
    return Action(
        id=action.id,
        name=action.name or action.id,
        description=action.description,
        inputs=parameters(action.inputs),
        outputs=parameters(action.outputs),
        http=call,
        effect=action.effect or ("read" if reads else "write"),
        idempotent=again or action.effect == "read",
    )


def _call(call: written.Call, url: str, auth: written.Auth | None, api: written.Shared | None) -> HttpCall:
    """A call with what it shares; a provider that is known to say no in its own way says it here too."""
    auth_headers, auth_query = _credentials(auth)
    known = provider_of(url)
    shared = api or written.Shared()
    success, error = call.success or shared.success, call.error or shared.error
    retry = shared.retry if call.retry is None else call.retry
    idempotency = call.idempotency or (None if call.method in REPEATABLE else shared.idempotency)
    headers = _merged(shared.headers, auth_headers, call.headers)
    return HttpCall(
        method=call.method,
        url=url,
        headers=headers,
        query={**auth_query, **call.params},
        body=_body(call, headers),
        response_mapping=call.response_mapping,
        success=success or (known.success if known else None),
        error=error or (known.error if known and not success else None),
        timeout_seconds=call.timeout_seconds,
        basic=_basic(auth),
        idempotency_header=idempotency.header if idempotency else "",
        retry=retry or 0,
        pagination=_pagination(call),
    )


def _merged(*parts: dict[str, str]) -> dict[str, str]:
    """All headers, the last of each name, whatever its letters."""
    named = {name.lower(): (name, value) for part in parts for name, value in part.items()}
    return dict(named.values())


def _pagination(call: written.Call) -> Pagination | None:
    pages = call.pagination if isinstance(call, written.Endpoint) else None
    return None if pages is None else Pagination(**pages.model_dump(exclude_none=True))


def _credentials(auth: written.Auth | None) -> tuple[dict[str, str], dict[str, Any]]:
    if auth is None or auth.type in {"none", "basic"} or (auth.type == "oauth2" and not auth.token):
        return {}, {}
    if auth.type in {"bearer", "oauth2"}:
        return {"Authorization": f"Bearer {auth.token}"}, {}
    return ({auth.name: auth.value}, {}) if auth.location == "header" else ({}, {auth.name: auth.value})


def _basic(auth: written.Auth | None) -> Basic | None:
    if auth is None or auth.type != "basic":
        return None
    return Basic(username=auth.username or "", password=auth.password or "")


def _body(call: written.Call, headers: Mapping[str, str]) -> Body | None:
    """A body as its author calls it; else a text as it stands, a form where the content type says so, or JSON."""
    if call.body is None:
        return None
    kind: Literal["json", "form", "raw"] = "raw" if isinstance(call.body, str) else "json"
    types = (text for name, text in headers.items() if name.lower() == "content-type")
    if isinstance(call.body, dict) and any(text.lower().startswith(FORM_TYPE) for text in types):
        kind = "form"
    return Body(kind=call.body_type or kind, content=call.body)


def _manifest(
    capability: written.Common,
    kind: Kind,
    language: Language | None,
    planned: Planned,
    settings: list[written.NamedSetting] | dict[str, written.SettingBody],
    declared_hosts: list[str],
) -> Manifest:
    actions = planned.actions
    requesting = (*actions, *planned.inner)
    needed = needs(requesting, planned.calls)
    asked = needed if derives_permissions(capability) else capability.permissions
    permissions = tuple(dict.fromkeys(name for name in asked if name in PERMISSIONS))
    hosts = dict.fromkeys(str(rule) for rule in _valid_hosts(declared_hosts, requesting))
    reached = hosts | dict.fromkeys(_called_hosts(planned.calls) if derives_permissions(capability) else ())
    tier = Authority(frozenset(permissions)).compute_tier
    return Manifest(
        id=capability.id,
        name=capability.name or capability.id,
        icon=capability.icon,
        version=_version(capability.version),
        author=capability.author,
        description=capability.description,
        kind=kind,
        language=language,
        engine=_engine(capability, language),
        isolation=_isolation(capability, language),
        libraries=_libraries(capability, language),
        category=capability.category,
        tags=tuple(capability.tags),
        actions=actions,
        requirements=(
            *requirements(settings, settings_path(capability), hosts),
            *_derived(capability, permissions),
            *planned.requirements,
        ),
        permissions=permissions,
        hosts=tuple(reached),
        examples=tuple(examples.normalised(capability.examples, actions)),
        triggers=(*(_trigger(trigger, capability) for trigger in capability.triggers), *planned.triggers),
        oauth2=connector.oauth2(capability) if isinstance(capability, written.Capability) else None,
        plan=planned.plan,
        inner=planned.inner,
        calls=planned.calls,
        limits=Limits(compute=cast("Literal['light', 'moderate', 'heavy']", tier)),
        license=capability.license,
        documentation_url=capability.documentation_url,
        support_url=capability.support_url,
        repository_url=capability.repository_url,
    )


def needs(actions: Iterable[Action], called: Iterable[str]) -> dict[str, list[str]]:
    """By permission, whose it is: of the methods of requests, and of the standard actions that are called."""
    found: dict[str, list[str]] = {}
    for action in actions:
        if action.http is not None:
            found.setdefault(http_permission(action.http.method), []).append(action.id)
    for name in called:
        known = STANDARD_ACTIONS.get(name)
        for permission in known.permissions if known is not None else ():
            found.setdefault(permission, []).append(name)
    return found


def _called_hosts(called: Iterable[str]) -> Iterator[str]:
    """Those that standard actions go to. No secret of the caller's own is for them because of that."""
    for name in called:
        known = STANDARD_ACTIONS.get(name)
        yield from known.hosts if known is not None else ()


def derives_permissions(capability: written.Common) -> bool:
    """Whether what it does is the list of permissions, since it has no other: connectors, workflows and flows."""
    if not isinstance(capability, written.Capability) or "permissions" in capability.model_fields_set:
        return False
    return capability.api is not None or kind_of(capability) in {Kind.WORKFLOW, Kind.FLOW}


def _derived(capability: written.Common, permissions: tuple[str, ...]) -> tuple[Requirement, ...]:
    if isinstance(capability, written.Capability):
        return connector.derived(capability)
    if not isinstance(capability, written.Header):
        return ()
    settings = capability.config
    declared = settings if isinstance(settings, dict) else [setting.key for setting in settings]
    return tuple(services.derived(permissions, declared))


def _engine(capability: written.Common, language: Language | None) -> Engine | None:
    """What the author chose, where the language has it; else the language's first."""
    engines = ENGINES.get(language or "", ())
    asked = capability.engine if isinstance(capability, written.Header) else None
    return cast("Engine | None", asked if asked in engines else next(iter(engines), None))


def _isolation(capability: written.Common, language: Language | None) -> Literal["strict", "run"] | None:
    if isinstance(capability, written.Capability):
        return capability.flow.isolation if capability.flow is not None else None
    asked = capability.isolation if isinstance(capability, written.Header) else None
    if asked == "strict":
        return "strict" if _engine(capability, language) not in ONLY_IN_SLOTS else None
    return "run" if asked == "run" else None


def _libraries(capability: written.Common, language: Language | None) -> tuple[str, ...]:
    if not isinstance(capability, written.Header) or language != "python":
        return ()
    return tuple(dict.fromkeys(name for name in capability.libraries if name in LIBRARIES))


def _version(text: str) -> str:
    try:
        return str(Version.parse(text))
    except ValueError:
        return DEFAULT_VERSION


def _valid_hosts(declared: list[str], actions: tuple[Action, ...]) -> Iterator[HostRule]:
    for action in actions:
        if action.http is not None:
            try:
                yield host_of(action.http.url)
            except ValueError:
                continue
    yield from _rules(declared)


def _rules(hosts: Iterable[str]) -> Iterator[HostRule]:
    for host in hosts:
        try:
            yield HostRule.parse(host)
        except ValueError:
            continue


def settings_path(source: written.Common) -> Path:
    """Where a dialect keeps its settings: a code header is the capability itself."""
    return ("config",) if isinstance(source, written.Header) else ("capability", "configuration")


def _trigger(trigger: written.SourceTrigger, capability: written.Common) -> Trigger:
    work = capability.workflow if isinstance(capability, written.Capability) else None
    starts = work is not None and work.trigger == trigger.id
    return Trigger(
        id=trigger.id,
        name=trigger.name,
        type=trigger.type,
        event=trigger.event,
        schedule=trigger.schedule,
        time_zone=trigger.time_zone,
        action=trigger.action or (ACTION if starts else None),
        verifier=_verifier(trigger.verifier) if trigger.verifier else None,
        filter=expression(trigger.filter or (work.filter if work is not None and starts else "")),
        input=trigger.input,
        order_by=expression(trigger.order_by),
    )


def _verifier(verifier: written.SourceVerifier) -> Verifier:
    """In small letters, as names of headers are compared."""
    headers = verifier.model_dump(include={"header", "id_header", "timestamp_header"}, exclude_none=True)
    small = {field: name.lower() for field, name in headers.items()}
    return Verifier(kind=verifier.kind, secret=verifier.secret, **small)
