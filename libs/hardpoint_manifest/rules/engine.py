"""Rules about what code asks to be run with: an engine of its language, and libraries that there are."""

from collections.abc import Iterator

from hardpoint_manifest import source as written
from hardpoint_manifest.authority import COMPUTE_SECONDS, nearest
from hardpoint_manifest.engine import ENGINES, LIBRARIES, nearest_library
from hardpoint_manifest.finding import Finding, PatchOp, pointer
from hardpoint_manifest.rules.subject import Subject


def check(subject: Subject) -> Iterator[Finding]:
    """The engine and the libraries of a code file."""
    if isinstance(subject.source, written.Header):
        yield from _engine(subject, subject.source.engine)
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
