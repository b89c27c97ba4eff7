"""Rules about settings and secrets: what an installation must give, and defaults that fit."""

from collections.abc import Iterator
from typing import Any, Final

from hardpoint_manifest.finding import Finding, Path
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
        if requirement.required and requirement.default is None:
            yield _needed(subject, path, requirement)
        if requirement.key in inputs:
            message = f"{requirement.key} is a setting and an input; templates would not tell them apart"
            yield subject.error(
                "ambiguous-name", path, message, "rename one, or write ${input." + requirement.key + "}"
            )
        if requirement.default is not None:
            yield from _default(subject, path, requirement)


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


def _fits(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
