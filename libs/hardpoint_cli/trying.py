"""Owns the trial of one capability: each example run outside, recorded, on its cassette or on answers, and judged."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from hardpoint.runtime.v1 import agent_pb2, run_pb2
from hardpoint_cli import tapes
from hardpoint_client import Hardpoint
from hardpoint_client.client import output_of
from hardpoint_kit.errors import HardpointError, InvalidArgument, ResourceExhausted, Unauthenticated, Unavailable
from hardpoint_manifest import trial
from hardpoint_manifest.authority import Authority
from hardpoint_manifest.cassette import Cassette
from hardpoint_manifest.misfits import misfits
from hardpoint_manifest.model import Action, Example, Manifest
from hardpoint_manifest.verdict import stale, verdict

RECORD_AGAIN: Final = "record it again: hardpoint test FILE --record"


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one example, or of the inputs of one action that do not fit."""

    name: str
    action: str
    about: str
    how: str
    seconds: float = 0.0
    differences: tuple[str, ...] = ()
    error: dict[str, str] | None = None
    """Of one that failed and was not to."""
    output: Any = None
    run: str = ""
    logs: tuple[run_pb2.LogLine, ...] = ()
    used: Authority = field(default_factory=Authority)
    wall_seconds: float = 0.0
    told: dict[str, Any] = field(default_factory=dict)
    steps: tuple[trial.Ran, ...] = ()
    """Of a workflow, in their order."""

    @property
    def ok(self) -> bool:
        """Whether it went as it was to."""
        return not self.differences and self.error is None

    @property
    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "name": self.name,
            "action": self.action,
            **self.told,
            "how": self.how,
            "ok": self.ok,
            "output": self.output,
            "differences": list(self.differences),
            "error": self.error,
            "run": self.run,
            "logs": [{"level": line.level, "message": line.message} for line in self.logs],
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class Trial:
    """Tries a draft on the server. `outside` leaves cassettes aside; with `record` they are written."""

    client: Hardpoint
    release: str
    file: Path
    manifest: Manifest
    settings: str
    record: bool
    outside: bool

    async def example(self, example: Example) -> Tried:
        """Run an example; raises Unauthenticated, Unavailable and ResourceExhausted, which say nothing of it."""
        tried = Tried(example.name, example.action, _shown(example), "outside", told=_said(example))
        started = time.perf_counter()
        try:
            loaded = None if self.outside else tapes.load(self.file, example)
            if loaded is not None:
                tried = replace(tried, how="replayed")
                tried = await self._replay(example, tried, *loaded)
            else:
                tried = await self._outside(example, tried)
        except (Unauthenticated, Unavailable, ResourceExhausted):
            raise
        except HardpointError as error:
            tried = replace(tried, error=self._told(error), run=error.metadata.get("run", ""))
        tried = replace(tried, seconds=time.perf_counter() - started)
        return replace(tried, logs=await self._logs(tried.run)) if tried.run else tried

    async def _logs(self, run: str) -> tuple[run_pb2.LogLine, ...]:
        return tuple((await self.client.runs.GetRunLogs(run_pb2.GetRunLogsRequest(name=run))).lines)

    async def _replay(self, example: Example, tried: Tried, data: bytes, cassette: Cassette) -> Tried:
        action = self.manifest.action(example.action)
        assert action is not None
        if why := stale(example, action, cassette):
            return replace(tried, differences=(f"{why}; {RECORD_AGAIN}",))
        try:
            response = await self.client.test(self.release, example.action, example.input, cassette=data)
        except HardpointError as error:
            if verdict(example, cassette, None, error.reason):
                raise
            return tried
        return self._judged(example, cassette, tried, response)

    async def _outside(self, example: Example, tried: Tried) -> Tried:
        try:
            response = await self.client.test(
                self.release, example.action, example.input, settings=self.settings, record=self.record
            )
        except HardpointError as error:
            if error.reason != example.expected_error:
                raise
            return tried
        tried = self._judged(example, None, tried, response)
        if response.cassette and tried.ok:
            tapes.save(self.file, example, response.cassette)
            tried = replace(tried, how="recorded")
        return tried

    def _judged(
        self, example: Example, cassette: Cassette | None, tried: Tried, response: agent_pb2.CallActionResponse
    ) -> Tried:
        used = Authority(frozenset(response.used.permissions), frozenset(response.used.hosts))
        tried = replace(tried, run=response.run, used=used, wall_seconds=response.usage.wall_ms / 1000)
        if response.state == run_pb2.RUN_STATE_FAILED:
            if not verdict(example, cassette, None, response.reason):
                return tried
            failed = {"reason": response.reason, "message": response.message, "place": "", "fix": ""}
            return replace(tried, error=failed)
        output = output_of(response)
        return replace(tried, output=output, differences=verdict(example, cassette, output))

    async def misfits(self, action: Action) -> Tried | None:
        """Send inputs that do not fit, each of which must be refused before anything runs; None where all fit."""
        fitting = next((example.input for example in self.manifest.examples if example.action == action.id), {})
        wrong = misfits(action, action.with_defaults(fitting))
        if not wrong:
            return None
        started = time.perf_counter()
        taken = [value for value in wrong if not await self._is_refused(action, value)]
        differences = tuple(f"it took {json.dumps(value, ensure_ascii=False)[:200]}" for value in taken)
        about = f"{len(wrong)} inputs that do not fit its schema"
        return Tried(
            action.id,
            action.id,
            about,
            "refused",
            time.perf_counter() - started,
            differences,
            told={"inputs": wrong},
        )

    async def _is_refused(self, action: Action, value: dict[str, Any]) -> bool:
        try:
            await self.client.test(self.release, action.id, value)
        except InvalidArgument as error:
            return error.reason == "INPUT_INVALID"
        except (Unauthenticated, Unavailable, ResourceExhausted):
            raise
        except HardpointError:
            return False
        return False

    def _told(self, error: HardpointError) -> dict[str, str]:
        fix = error.fix
        if error.reason == "SETTINGS_MISSING" and not self.settings:
            fix += "; then test with --settings and the name that you gave"
        return {"reason": error.reason, "message": error.message, "place": error.place, "fix": fix}


def on_answers(manifest: Manifest) -> Iterator[Tried]:
    """Try a workflow's examples here, on the answers that they have for its steps."""
    began = time.perf_counter()
    for one in trial.tried(manifest):
        now = time.perf_counter()
        example = one.example
        told = {**_said(example), "reason": one.reason, "steps": [asdict(step) for step in one.steps]}
        yield Tried(
            example.name,
            example.action,
            _shown(example),
            "walked",
            now - began,
            one.differences,
            output=one.output,
            told=told,
            steps=one.steps,
        )
        began = now


def _said(example: Example) -> dict[str, Any]:
    """What an example says, for `--json`."""
    said = {"input": example.input, "expected": example.expected_output}
    return {**said, "expected_error": example.expected_error} if example.expected_error else said


def _shown(example: Example) -> str:
    return json.dumps(example.input, ensure_ascii=False)
