"""Rules about names: each is given once, and the version is one."""

from collections.abc import Iterable, Iterator, Sequence

from hardpoint_manifest import source as written
from hardpoint_manifest.authority import nearest
from hardpoint_manifest.finding import Finding, PatchOp, Path, pointer
from hardpoint_manifest.model import Parameter
from hardpoint_manifest.normalise import DEFAULT_VERSION, is_exported, parameters
from hardpoint_manifest.rules.subject import Subject
from hardpoint_manifest.version import Version

Named = tuple[str, Path]
Declared = written.SourceAction | written.Endpoint | written.HeaderAction


def check(subject: Subject) -> Iterator[Finding]:
    """Ids, keys, parameter names and the version."""
    yield from _version(subject)
    actions = _actions(subject)
    yield from duplicates(subject, "action", ((action.id, path) for action, path in actions))
    triggers = subject.source.triggers
    yield from duplicates(subject, "trigger", ((t.id, subject.at("triggers", i, "id")) for i, t in enumerate(triggers)))
    settings = subject.manifest.requirements
    keys = ((s.key, subject.at(subject.settings_key, i, "key")) for i, s in enumerate(settings))
    yield from duplicates(subject, "setting", keys)
    for action, path in actions:
        for side, given in (("inputs", action.inputs), ("outputs", action.outputs)):
            yield from _parameters(subject, (*path[:-1], side), parameters(given))
    if isinstance(subject.source, written.Header):
        yield from _exports(subject, subject.source)


def duplicates(subject: Subject, noun: str, names: Iterable[Named]) -> Iterator[Finding]:
    """A finding for every name that was given before."""
    seen: dict[str, Path] = {}
    for name, path in names:
        if name in seen:
            first = subject.document.place(seen[name])
            message = f"the {noun} {name} is given twice; the first is in line {first.line}"
            yield subject.error("duplicate-id", path, message, "give it another name")
        seen.setdefault(name, path)


def _actions(subject: Subject) -> list[tuple[Declared, Path]]:
    endpoints = subject.source.endpoints if isinstance(subject.source, written.Capability) else []
    fields: dict[str, Sequence[Declared]] = {"actions": subject.source.actions, "endpoints": endpoints}
    return [(one, subject.at(field, index, "id")) for field, given in fields.items() for index, one in enumerate(given)]


def _version(subject: Subject) -> Iterator[Finding]:
    path, text = subject.at("version"), subject.source.version
    if not text:
        patch = PatchOp("add", pointer(path), DEFAULT_VERSION)
        message = f"no version is given; this is {DEFAULT_VERSION}"
        yield subject.info("default-version", path, message, "raise it with every release", (patch,))
        return
    try:
        Version.parse(text)
    except ValueError as error:
        yield subject.error("invalid-version", path, str(error))


def _parameters(subject: Subject, path: Path, given: tuple[Parameter, ...]) -> Iterator[Finding]:
    in_list = isinstance(subject.document.value(path), list)
    steps = [(parameter, (*path, index if in_list else parameter.name)) for index, parameter in enumerate(given)]
    yield from duplicates(subject, "parameter", ((parameter.name, step) for parameter, step in steps))
    for parameter, step in steps:
        if parameter.default is not None and parameter.enum and parameter.default not in parameter.enum:
            yield subject.error(
                "default-type", (*step, "default"), f"the default of {parameter.name} is none of its enum"
            )
        if parameter.items is not None and parameter.type not in {"array", "any"}:
            yield subject.error("parameter-type", (*step, "items"), "only an array has items", "set type: array")
        if parameter.properties and parameter.type not in {"object", "any"}:
            yield subject.error("parameter-type", (*step, "properties"), "only an object has properties")
        if parameter.properties:
            yield from _parameters(subject, (*step, "properties"), parameter.properties)


def _exports(subject: Subject, header: written.Header) -> Iterator[Finding]:
    functions = {action.id for action in header.actions}
    for index, name in enumerate(header.exports or []):
        if name not in functions:
            close = nearest(name, functions)
            fix = f"did you mean {close}?" if close else "define it under `actions`"
            yield subject.error("dangling-reference", subject.at("exports", index), f"there is no function {name}", fix)
    for index, action in enumerate(header.actions):
        if not is_exported(action, header):
            message = f"{action.id} is a helper and no action"
            fix = "to offer it, name it in `exports`" if header.exports is not None else "to offer it, make it async"
            yield subject.info("helper", subject.at("actions", index), message, fix)
    if not any(is_exported(action, header) for action in header.actions):
        yield subject.error(
            "no-actions", subject.at("actions"), "no function is an action", "make one async, or name it in `exports`"
        )
