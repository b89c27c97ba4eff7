"""Rules about settings and secrets: what an installation must give, and defaults that fit."""

from collections.abc import Iterator
from typing import Any, Final

from hardpoint_manifest.authority import Authority, HostRule
from hardpoint_manifest.finding import Finding, PatchOp, Path, pointer
from hardpoint_manifest.model import Requirement
from hardpoint_manifest.rules.subject import Subject

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
}


def check(subject: Subject) -> Iterator[Finding]:
    """Every setting and secret."""
    inputs = {parameter.name for action in subject.manifest.actions for parameter in action.inputs}
    in_list = isinstance(subject.document.value(subject.at(subject.settings_key)), list)
    for index, requirement in enumerate(subject.manifest.requirements):
        path = subject.at(subject.settings_key, index if in_list else requirement.key)
        if not requirement.declared:
            path = subject.document.path(requirement.pointer)
        if requirement.required and requirement.default is None:
            yield _needed(subject, path, requirement)
        if requirement.key in inputs:
            message = f"{requirement.key} is a setting and an input; templates would not tell them apart"
            yield subject.error(
                "ambiguous-name", path, message, "rename one, or write ${input." + requirement.key + "}"
            )
        if requirement.default is not None:
            yield from _default(subject, path, requirement)
        yield from _hosts(subject, path, requirement)


def _needed(subject: Subject, path: Path, requirement: Requirement) -> Finding:
    label = f" ({requirement.label})" if requirement.label != requirement.key else ""
    where = f"; see {requirement.help_url}" if requirement.help_url else ""
    message = f"needs {requirement.key}{label}"
    return subject.warning("needs-setting", path, message, f"give it a value when installing{where}")


def _default(subject: Subject, path: Path, requirement: Requirement) -> Iterator[Finding]:
    if requirement.secret:
        message = f"{requirement.key} is a secret, and a secret has no default"
        yield subject.error("secret-default", (*path, "default"), message, "remove the default")
    elif not _fits(requirement.default, requirement.type):
        message = f"the default of {requirement.key} is no {requirement.type}"
        yield subject.error("default-type", (*path, "default"), message)


def _hosts(subject: Subject, path: Path, requirement: Requirement) -> Iterator[Finding]:
    """Where a secret may be sent: hosts that the capability reaches, named one by one where there are several."""
    if not requirement.declared:
        return  # it is for the connector's own host
    written = subject.document.value((*path, "hosts")) or []
    if written and not requirement.secret:
        yield subject.error("hosts-of-setting", (*path, "hosts"), f"{requirement.key} is no secret", "remove its hosts")
        return
    for index, host in enumerate(written):
        try:
            rule = HostRule.parse(host)
        except ValueError as error:
            yield subject.error("invalid-host", (*path, "hosts", index), str(error))
            continue
        if not subject.manifest.authority.covers(Authority(hosts=frozenset({str(rule)}))):
            wider = [*subject.manifest.hosts, str(rule)]
            yield subject.error(
                "secret-host",
                (*path, "hosts", index),
                f"{requirement.key} is for {rule}, which the capability does not reach",
                f"add {rule} to `hosts`, or remove it here",
                (PatchOp("add", pointer(subject.at("hosts")), wider),),
            )
    if requirement.secret and not written and len(requirement.hosts) > 1:
        yield subject.warning(
            "secret-hosts",
            path,
            f"{requirement.key} may be sent to every host: {', '.join(requirement.hosts)}",
            "name those that it is for",
            (PatchOp("add", pointer((*path, "hosts")), list(requirement.hosts)),),
        )


def _fits(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
