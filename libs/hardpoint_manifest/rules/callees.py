"""Rules about actions of other capabilities that are called: their names are names, and the standard ones exist."""

from collections.abc import Iterable, Iterator

from hardpoint_manifest import source as written
from hardpoint_manifest.authority import nearest
from hardpoint_manifest.finding import Finding, PatchOp, Path, pointer
from hardpoint_manifest.planning.calls import CALLEE
from hardpoint_manifest.rules.subject import Subject
from hardpoint_manifest.standard import STANDARD_ACTIONS


def check(subject: Subject) -> Iterator[Finding]:
    """What code says that it calls."""
    if isinstance(subject.source, written.Header):
        for index, action in enumerate(subject.source.calls):
            yield from check_callee(subject, action, subject.at("calls", index))


def check_callee(subject: Subject, action: str, path: Path, others: Iterable[str] = ()) -> Iterator[Finding]:
    """One name of an action; `others` are words that may stand in its place."""
    capability = action.partition(".")[0]
    standard = {one.capability for one in STANDARD_ACTIONS.values()}
    if not CALLEE.fullmatch(action):
        message = f"{action[:64]!r} names no action: write capability.action"
        words = sorted(others)
        fix = "such as email.send" + (f"; what needs no capability is {', '.join(words)}" if words else "")
        yield _wrong(subject, path, message, action, [*words, *STANDARD_ACTIONS], fix)
    elif capability in standard and action not in STANDARD_ACTIONS:
        known = [name for name in STANDARD_ACTIONS if name.startswith(f"{capability}.")]
        message = f"{capability} has no action {action.partition('.')[2]}; it has {', '.join(known)}"
        yield _wrong(subject, path, message, action, known, "use one of these")
    elif capability == subject.manifest.id:
        message = f"{action} is an action of this capability: it would call itself"
        yield subject.error("calls-itself", path, message, "repeat with for_each, or make a second capability of it")
    elif capability not in standard and (close := _misspelt(action, standard)):
        patch = (PatchOp("replace", pointer(path), close),)
        message = f"{action} is no standard action; an organisation that installs this needs {capability}"
        yield subject.info("callee", path, message, f"or did you mean {close}?", patch)


def _misspelt(action: str, standard: Iterable[str]) -> str | None:
    capability, _, name = action.partition(".")
    close = nearest(capability, sorted(standard))
    return f"{close}.{name}" if close and f"{close}.{name}" in STANDARD_ACTIONS else None


def _wrong(subject: Subject, path: Path, message: str, action: str, known: Iterable[str], fix: str) -> Finding:
    close = nearest(action, known) or nearest(action.replace("_", ".", 1), known)
    patch = (PatchOp("replace", pointer(path), close),) if close else ()
    return subject.error("unknown-action", path, message, f"did you mean {close}?" if close else fix, patch)
