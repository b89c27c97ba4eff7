"""Owns what an execution is given of a lease: the settings and secrets that its release declares, and no others."""

from collections.abc import Mapping
from typing import Any

from hardpoint_executor.broker import ai
from hardpoint_executor.broker.scrub import Watched
from hardpoint_executor.broker.secrets import Secret, password_in
from hardpoint_executor.domain import Execution
from hardpoint_executor.peers import Values
from hardpoint_kit.errors import Conflict


def watched(values: Values, secrets: Mapping[str, Secret]) -> list[Watched]:
    """What must not come out: every secret, and of one that is a URL its password too."""
    whole = [values.watching(key, secret.value) for key, secret in secrets.items() if not secret.no_text]
    passwords = ((key, password_in(secret.value)) for key, secret in secrets.items())
    return whole + [values.watching(f"{key} password", password) for key, password in passwords if password]


def check_complete(execution: Execution, settings: Mapping[str, Any], secrets: Mapping[str, Secret]) -> None:
    """Refuse to be called without its settings; raises Conflict SETTINGS_MISSING naming keys and commands."""
    missing = [r for r in execution.requirements if r.required and r.key not in settings and r.key not in secrets]
    if missing:
        installation = execution.installation.rpartition("/")[2]
        raise Conflict(
            f"{execution.capability} needs {', '.join(r.key for r in missing)}",
            reason="SETTINGS_MISSING",
            fix="; ".join(
                f"hardpoint secret set {installation} {r.key}"
                if r.secret
                else f"hardpoint setting set {installation} {r.key}=..."
                for r in missing
            ),
            keys=",".join(r.key for r in missing),
            installation=execution.installation,
        )


def secrets_of(execution: Execution, values: Values | None) -> dict[str, Secret]:
    """The values of the keys that the release declares as secret, and no others of the settings document."""
    declared = [requirement for requirement in execution.requirements if requirement.secret]
    if values is None:
        return {}
    found = {r.key: Secret(values.secrets[r.key], r.hosts, r.pointer) for r in declared if r.key in values.secrets}
    return found | {r.key: Secret("", r.hosts, r.pointer, no_text=r.key) for r in declared if r.key in values.no_text}


def settings_of(execution: Execution, values: Values | None) -> dict[str, Any]:
    """The plain values of the keys that the release declares, with their defaults."""
    set_values = values.settings if values else {}
    plain = [requirement for requirement in execution.requirements if not requirement.secret]
    found = {requirement.key: set_values.get(requirement.key, requirement.default) for requirement in plain}
    return {key: value for key, value in found.items() if value is not None}


def chosen(settings: Mapping[str, Any], values: Values | None) -> dict[str, Any]:
    """What the org set itself, and the models that the author suggests: no default decides where a service is."""
    suggested = (ai.MODEL, ai.EMBEDDING_MODEL)
    return {key: value for key, value in settings.items() if key in suggested or (values and key in values.settings)}
