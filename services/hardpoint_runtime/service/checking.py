"""Owns the replays that decide whether a release is published: its examples, on the cassettes that came with it.

The registry calls nobody, so it waits in CHECKING until this has told it. Whoever publishes asks for it.
"""

from typing import Final

from hardpoint_kit.caller import Caller
from hardpoint_kit.documents import from_value
from hardpoint_kit.errors import HardpointError, ResourceExhausted, Unauthenticated, Unavailable
from hardpoint_kit.names import ReleaseName
from hardpoint_manifest.cassette import read
from hardpoint_manifest.verdict import verdict
from hardpoint_runtime.domain.executions import Taped
from hardpoint_runtime.domain.releases import RecordedExample
from hardpoint_runtime.peers import Registry
from hardpoint_runtime.service.calls import Calls

RECORD_AGAIN: Final = "see hardpoint test FILE; if it is meant to be so, record again: hardpoint test FILE --record"
AGAIN_SECONDS: Final = 5.0
_SAYS_NOTHING: Final = frozenset({"TIMEOUT", "DEADLINE_EXCEEDED", "CANCELLED"})
"""As much of a busy machine, or of one that is stopped, as of the release."""


class Checking:
    """Replays the examples of releases."""

    def __init__(self, calls: Calls, registry: Registry) -> None:
        self._calls = calls
        self._registry = registry

    async def check_release(self, caller: Caller, name: ReleaseName) -> tuple[str, ...]:
        """Replay the examples of a release and end its checks; the names of those that did not hold.

        Raises NotFound, Conflict (not in CHECKING), and what says nothing about the release: ResourceExhausted, and
        Unavailable, also for what did not end in time or was stopped.
        """
        failures: dict[str, tuple[str, str]] = {}
        for recorded in await self._registry.recorded_examples(name):
            if failure := await self._failure(caller, name, recorded):
                failures[recorded.example.name] = failure
        await self._registry.finish_checks(name, failures)
        return tuple(failures)

    async def _failure(self, caller: Caller, name: ReleaseName, recorded: RecordedExample) -> tuple[str, str] | None:
        """Why an example does not hold, and what to do; None when it does."""
        example, cassette = recorded.example, read(recorded.cassette)
        taped = Taped(cassette=recorded.cassette)
        try:
            answer = await self._calls.test_action(caller, name, example.action, example.input, None, None, None, taped)
        except (Unavailable, ResourceExhausted, Unauthenticated):
            raise
        except HardpointError as error:
            differences = verdict(example, cassette, None, error.reason)
            if differences and error.reason in _SAYS_NOTHING:
                raise _not_replayed(example.name, error) from error
            return (f"{differences[0]}: {error.message}", error.fix or RECORD_AGAIN) if differences else None
        differences = verdict(example, cassette, from_value(answer.output))
        return (differences[0], RECORD_AGAIN) if differences else None


def _not_replayed(example: str, error: HardpointError) -> Unavailable:
    return Unavailable(
        f'example "{example}" could not be replayed to its end: {error.message}',
        fix="publish it again; if it always takes too long, make it shorter and raise the version",
        retry_after=AGAIN_SECONDS,
        example=example,
    )
