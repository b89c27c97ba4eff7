"""Owns what code may ask for here, engines and libraries, and the words for what asks for more."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hardpoint_executor import domain
from hardpoint_executor.artifacts import Code
from hardpoint_executor.jail.interface import ENGINES, LANGUAGES, STRIPS_TYPES, Jail, Layer, Together
from hardpoint_kit.errors import Conflict
from hardpoint_manifest.load import is_typescript


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine of a language; whether it can have a jail for every call (`single_use`)."""

    language: str
    id: str
    single_use: bool


@dataclass(frozen=True, slots=True)
class Engines:
    """What code may ask for: engines, and libraries."""

    engines: tuple[Engine, ...]
    libraries: tuple[Layer, ...]


class Offer:
    """What one jail has."""

    def __init__(self, jail: Jail) -> None:
        self._jail = jail

    def engines(self) -> Engines:
        """What this executor offers."""
        engines = (
            Engine(language, engine, engine in self._jail.engines(language, strict=True))
            for language in LANGUAGES
            for engine in self._jail.engines(language)
        )
        return Engines(tuple(engines), tuple(self._jail.libraries().values()))

    def admit(self, code: Code, execution: domain.Execution) -> None:
        """Refuse what asks for more than is offered; raises Conflict ENGINE_UNAVAILABLE, LIBRARY_UNAVAILABLE."""
        if len(ENGINES[code.language]) > 1:
            self._admit_engine(code.language, execution)
        if missing := [name for name in execution.libraries if name not in self._jail.libraries()]:
            raise self.lacks(missing, f"{execution.release} asks for")

    def _admit_engine(self, language: str, execution: domain.Execution) -> None:
        engine = execution.engine or ENGINES[language][0]
        strict = self.is_strict(execution)
        offered = self._jail.engines(language, strict)
        if engine in offered:
            return
        says = f"publish a release that says engine: {' or '.join(offered)}" if offered else ""
        if engine in self._jail.engines(language):
            who = "the release asks for it" if execution.strict else f"the policy of {execution.org} wants it"
            why, fixes = f"which cannot give every call a jail of its own: {who}", [says]
            if not execution.strict:
                fixes.append("have an admin of the org say: hardpoint policy set --no-single-use")
        else:
            why, fixes = "which this executor does not offer", [says, f"ask the operator for an executor with {engine}"]
        raise Conflict(
            f"{execution.release} runs on the engine {engine}, {why}",
            reason="ENGINE_UNAVAILABLE",
            fix=", or ".join(filter(None, fixes)),
            engine=engine,
            offered=", ".join(offered),
        )

    def check_types(self, filename: str) -> None:
        """Refuse TypeScript where no engine takes its types out; raises Conflict ENGINE_UNAVAILABLE."""
        engines = self._jail.engines("javascript")
        if not is_typescript(filename) or STRIPS_TYPES in engines:
            return
        raise Conflict(
            f"{filename} is TypeScript, whose types {STRIPS_TYPES} takes out: an engine that is not offered here",
            reason="ENGINE_UNAVAILABLE",
            place=filename,
            fix=f"upload it as JavaScript, without types and named .js, or ask the operator for an executor with "
            f"{STRIPS_TYPES}",
            engine=STRIPS_TYPES,
            offered=", ".join(engines),
        )

    def lacks(self, missing: Sequence[str], who_asks: str) -> Conflict:
        """The error of libraries that are not offered."""
        names, offered = ", ".join(missing), ", ".join(self._jail.libraries())
        return Conflict(
            f"{who_asks} {names}, which this executor does not offer; it offers {offered or 'no libraries'}",
            reason="LIBRARY_UNAVAILABLE",
            fix=f"do without it, or ask the operator to install {names} beside the executor and to allow it in "
            "HARDPOINT_EXECUTOR_LIBRARIES",
            libraries=names,
            offered=offered,
        )

    def is_strict(self, execution: domain.Execution) -> bool:
        """Whether a call has a jail that serves no other."""
        return execution.strict or execution.single_use

    def together(self, execution: domain.Execution) -> Together | None:
        """What calls have in common that may share a jail with this one; None where it has one to itself.

        What makes a plan or is held to one does, and what is recorded or replayed: what it meets must not depend on
        what was done, or not done, before.
        """
        apart = execution.writes.ledger is not None or execution.record or execution.cassette is not None
        sharing = None if apart else execution.sharing
        if sharing is None or self.is_strict(execution) or not execution.shared_runs:
            return None
        return Together(
            execution.org,
            sharing.run,
            sharing.installation,
            execution.release,
            execution.artifact.digest,
            tuple(caller.release for caller in execution.callers),
            execution.authority.permissions | execution.authority.hosts,
        )

    def held_by(self, libraries: Iterable[str]) -> int:
        """Bytes of address space that libraries take; what one brings along is counted with it."""
        layers = [layer for name, layer in self._jail.libraries().items() if name in libraries]
        brought = {name for layer in layers for name in layer.needs}
        return sum(layer.address_bytes for layer in layers if layer.name not in brought)
