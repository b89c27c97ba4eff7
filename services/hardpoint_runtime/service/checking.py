"""Owns the replays that decide whether a release is published: its examples, on the cassettes that came with it.

The registry calls nobody, so it waits in CHECKING until this has told it. Whoever publishes asks for it.
"""

from typing import Final

from hardpoint_kit.caller import Caller
from hardpoint_kit.documents import from_value
from hardpoint_kit.errors import DeadlineExceeded, HardpointError, ResourceExhausted, Unauthenticated, Unavailable
from hardpoint_kit.names import ReleaseName
from hardpoint_manifest.cassette import read
from hardpoint_manifest.verdict import verdict
from hardpoint_runtime.domain.executions import Taped
from hardpoint_runtime.domain.releases import RecordedExample
from hardpoint_runtime.peers import Registry
from hardpoint_runtime.service.calls import Calls

RECORD_AGAIN: Final = "see hardpoint test FILE; if it is meant to be so, record again: hardpoint test FILE --record"
AGAIN_SECONDS: Final = 5.0
LESS: Final = "let the example do less, or leave its cassette out; then push and publish again"
_LATE: Final = frozenset({"TIMEOUT", "DEADLINE_EXCEEDED"})
"""What says as much of a busy machine as of the release, until it happens again."""


class Checking:
    """Replays the examples of releases."""

    def __init__(self, calls: Calls, registry: Registry) -> None:
        self._calls = calls
        self._registry = registry

    async def check_release(self, caller: Caller, name: ReleaseName) -> tuple[str, ...]:
        """Replay the examples of a release and end its checks; the names of those that did not hold.

        Raises NotFound, Conflict (not in CHECKING), and what says nothing about the release: ResourceExhausted, and
        Unavailable, also for what was stopped, or did not end in time and may do so another time.
        """
        failures: dict[str, tuple[str, str]] = {}
        late: dict[str, tuple[str, str]] = {}
        for recorded in await self._registry.recorded_examples(name):
            try:
                if failure := await self._failure(caller, name, recorded):
                    failures[recorded.example.name] = failure
            except _Late as error:
                late[recorded.example.name] = (f"it did not end in time: {error.message}", LESS)
                break  # the others may be as late, and all of them too late for whoever waits
        if not await self._registry.finish_checks(name, failures, late):
            raise _not_replayed(", ".join(late), "it did not end in time")
        return (*failures, *late)

    async def _failure(self, caller: Caller, name: ReleaseName, recorded: RecordedExample) -> tuple[str, str] | None:
        """Why an example does not hold, and what to do; None when it does. Raises _Late."""
        example, cassette = recorded.example, read(recorded.cassette)
        taped = Taped(cassette=recorded.cassette)
        try:
            answer = await self._calls.test_action(caller, name, example.action, example.input, None, None, None, taped)
        except (Unavailable, ResourceExhausted, Unauthenticated):
            raise
        except HardpointError as error:
            differences = verdict(example, cassette, None, error.reason)
            if differences and error.reason in _LATE:
                raise _Late(error.message) from error
            if differences and error.reason == "CANCELLED":
                raise _not_replayed(example.name, error.message) from error
            return (f"{differences[0]}: {error.message}", error.fix or RECORD_AGAIN) if differences else None
        differences = verdict(example, cassette, from_value(answer.output))
        return (differences[0], RECORD_AGAIN) if differences else None


class _Late(DeadlineExceeded):
    """An example that did not end in time."""


def _not_replayed(example: str, why: str) -> Unavailable:
    return Unavailable(
        f'example "{example}" could not be replayed to its end: {why}',
        fix="publish it again; what is too late every time is rejected after a few",
        retry_after=AGAIN_SECONDS,
        example=example,
    )
