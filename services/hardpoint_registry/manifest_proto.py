"""Owns how a manifest and its findings travel: from the models of `hardpoint_manifest` to their protos."""

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint_kit.documents import to_struct, to_value
from hardpoint_manifest.finding import Finding, Severity
from hardpoint_manifest.model import Action, Example, Kind, Manifest, OAuth2, Requirement, Trigger, Verifier

_KINDS = {
    Kind.HTTP: manifest_pb2.KIND_HTTP,
    Kind.CODE: manifest_pb2.KIND_CODE,
    Kind.FLOW: manifest_pb2.KIND_FLOW,
    Kind.WORKFLOW: manifest_pb2.KIND_WORKFLOW,
}
_EFFECTS = {"read": manifest_pb2.EFFECT_READ, "write": manifest_pb2.EFFECT_WRITE}
_SEVERITIES = {
    Severity.INFO: manifest_pb2.SEVERITY_INFO,
    Severity.WARNING: manifest_pb2.SEVERITY_WARNING,
    Severity.ERROR: manifest_pb2.SEVERITY_ERROR,
}


def manifest_to_proto(manifest: Manifest) -> manifest_pb2.Manifest:
    """Convert a manifest; what only runners need, such as URLs, stays in the artifact."""
    return manifest_pb2.Manifest(
        id=manifest.id,
        name=manifest.name,
        icon=manifest.icon,
        version=manifest.version,
        author=manifest.author,
        description=manifest.description,
        kind=_KINDS[manifest.kind],
        language=manifest.language or "",
        category=manifest.category,
        tags=manifest.tags,
        actions=[action_to_proto(action) for action in manifest.actions],
        requirements=[requirement_to_proto(requirement) for requirement in manifest.requirements],
        authority=manifest_pb2.Authority(permissions=manifest.permissions, hosts=manifest.hosts),
        examples=[example_to_proto(example) for example in manifest.examples],
        license=manifest.license,
        documentation_url=manifest.documentation_url,
        support_url=manifest.support_url,
        repository_url=manifest.repository_url,
        engine=manifest.engine or "",
        libraries=manifest.libraries,
        isolation=manifest.isolation or "",
        oauth2=None if manifest.oauth2 is None else oauth2_to_proto(manifest.oauth2),
        plan=None if manifest.plan is None else to_struct(manifest.plan.model_dump(mode="json", exclude_defaults=True)),
        calls=manifest.calls,
        triggers=[trigger_to_proto(trigger) for trigger in manifest.triggers],
    )


def action_to_proto(action: Action) -> manifest_pb2.Action:
    """Convert an action."""
    return manifest_pb2.Action(
        id=action.id,
        name=action.name,
        description=action.description,
        input_schema=to_struct(action.input_schema()),
        output_schema=to_struct(action.output_schema()),
        effect=_EFFECTS[action.effect],
        idempotent=action.idempotent,
    )


def trigger_to_proto(trigger: Trigger) -> manifest_pb2.DeclaredTrigger:
    """Convert what may start runs."""
    return manifest_pb2.DeclaredTrigger(
        id=trigger.id,
        name=trigger.name,
        type=trigger.type,
        event=trigger.event,
        schedule=trigger.schedule,
        time_zone=trigger.time_zone,
        filter=trigger.filter,
        action=trigger.action or "",
        input=None if trigger.input is None else to_struct(trigger.input),
        verifier=None if trigger.verifier is None else verifier_to_proto(trigger.verifier),
        order_by=trigger.order_by,
    )


def verifier_to_proto(verifier: Verifier) -> manifest_pb2.Verifier:
    """Convert how deliveries prove where they come from."""
    return manifest_pb2.Verifier(
        kind=verifier.kind,
        secret=verifier.secret or "",
        header=verifier.header or "",
        id_header=verifier.id_header or "",
        timestamp_header=verifier.timestamp_header or "",
    )


def requirement_to_proto(requirement: Requirement) -> manifest_pb2.Requirement:
    """Convert a requirement; without a default, `default_value` is unset."""
    return manifest_pb2.Requirement(
        key=requirement.key,
        label=requirement.label,
        type=requirement.type,
        required=requirement.required,
        default_value=None if requirement.default is None else to_value(requirement.default),
        description=requirement.description,
        help_url=requirement.help_url,
        hosts=requirement.hosts,
        pointer=requirement.pointer,
    )


def oauth2_to_proto(oauth2: OAuth2) -> manifest_pb2.OAuth2:
    """Convert what a connector says of signing in."""
    return manifest_pb2.OAuth2(
        setting=oauth2.setting,
        grant=oauth2.grant,
        authorization_url=oauth2.authorization_url,
        token_url=oauth2.token_url,
        scopes=oauth2.scopes,
        pkce=oauth2.pkce,
        revocation_url=oauth2.revocation_url,
    )


def example_to_proto(example: Example) -> manifest_pb2.Example:
    """Convert an example."""
    return manifest_pb2.Example(
        action=example.action,
        input=to_struct(example.input),
        expected_output=to_value(example.expected_output),
        name=example.name,
        expected_error=example.expected_error,
        steps=to_struct(example.model_dump(mode="json", include={"steps"}, exclude_defaults=True).get("steps", {})),
        settings=to_struct(example.settings),
        trigger=None if example.trigger is None else to_struct(example.trigger),
    )


def finding_to_proto(finding: Finding) -> manifest_pb2.Finding:
    """Convert a finding."""
    return manifest_pb2.Finding(
        rule=finding.rule,
        severity=_SEVERITIES[finding.severity],
        path=finding.path,
        line=finding.line,
        column=finding.column,
        message=finding.message,
        fix=finding.fix,
        patch=[manifest_pb2.PatchOperation(op=p.op, path=p.path, value=to_value(p.value)) for p in finding.patch],
    )
