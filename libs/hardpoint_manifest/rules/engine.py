"""Rules about what code asks to be run with: an engine of its language, its isolation, and libraries that there are."""

from collections.abc import Iterator

from hardpoint_manifest import source as written
from hardpoint_manifest.authority import COMPUTE_SECONDS, nearest
from hardpoint_manifest.engine import (
    ENGINES,
    ISOLATIONS,
    LIBRARIES,
    NEVER_IN_SLOTS,
    ONLY_IN_SLOTS,
    nearest_library,
)
from hardpoint_manifest.finding import Finding, PatchOp, pointer
from hardpoint_manifest.rules.subject import Subject


def check(subject: Subject) -> Iterator[Finding]:
    """The engine, the isolation and the libraries of a code file."""
    if isinstance(subject.source, written.Header):
        yield from _engine(subject, subject.source.engine)
        yield from _isolation(subject, subject.source)
        yield from _libraries(subject, subject.source.libraries)


def _engine(subject: Subject, engine: str | None) -> Iterator[Finding]:
    language = subject.manifest.language or ""
    offered = ENGINES.get(language, ())
    if engine is None or engine in offered:
        return
    path = subject.at("engine")
    if not offered:
        message = f"{language.capitalize()} has one engine, so none can be chosen"
        yield subject.error("unknown-engine", path, message, "remove `engine`")
        return
    close = nearest(engine, offered)
    fix = f"did you mean {close}?" if close else f"choose one of {', '.join(offered)}"
    patch = (PatchOp("replace", pointer(path), close),) if close else ()
    yield subject.error("unknown-engine", path, f"there is no engine {engine!r} for {language}", fix, patch)


def _isolation(subject: Subject, header: written.Header) -> Iterator[Finding]:
    if header.isolation is None:
        return
    path = subject.at("isolation")
    engine = subject.manifest.engine
    if header.isolation not in ISOLATIONS:
        message = f"there is no isolation {header.isolation!r}"
        close = nearest(header.isolation, ISOLATIONS)
        patch = (PatchOp("replace", pointer(path), close),) if close else ()
        fix = f"write {' or '.join(ISOLATIONS)}, or remove `isolation`"
        yield subject.error("unknown-isolation", path, message, fix, patch)
    elif header.isolation == "run":
        if engine in NEVER_IN_SLOTS:
            message = f"{engine} has a jail for every call: `isolation: run` changes nothing"
            yield subject.warning("isolation-without-effect", path, message, "choose quickjs, or remove `isolation`")
    elif engine in ONLY_IN_SLOTS:
        other = next(name for name in ENGINES[subject.manifest.language or ""] if name not in ONLY_IN_SLOTS)
        message = f"{engine} runs in slots alone, where calls follow each other in a warm jail: it cannot be strict"
        patch = (PatchOp("replace", pointer(subject.at("engine")), other),)
        yield subject.error("engine-not-strict", path, message, f"choose {other}, or remove `isolation`", patch)


def _libraries(subject: Subject, libraries: list[str]) -> Iterator[Finding]:
    if libraries and subject.manifest.language != "python":
        message = "there are libraries for Python only"
        yield subject.error("unknown-library", subject.at("libraries"), message, "remove `libraries`")
        return
    tier = subject.manifest.limits.compute
    for index, name in enumerate(libraries):
        if name in LIBRARIES:
            if LIBRARIES[name].slow and tier == "light":
                message = f"the import of {name} may take most of the {COMPUTE_SECONDS[tier]} s of compute.{tier}"
                path = subject.at("libraries", index)
                yield subject.warning("slow-library", path, message, "ask for compute.moderate")
            continue
        path = subject.at("libraries", index)
        close = nearest_library(name)
        fix = f"did you mean {close}?" if close else f"there are {', '.join(LIBRARIES)}"
        patch = (PatchOp("replace", pointer(path), close),) if close else ()
        yield subject.error("unknown-library", path, f"there is no library {name!r}", fix, patch)
