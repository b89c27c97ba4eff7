"""Owns what is run: artifacts by digest, read from the registry on a miss and prepared once for every later call."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hardpoint_executor import peers
from hardpoint_executor.broker.secrets import Secret
from hardpoint_executor.domain import Artifact
from hardpoint_executor.kept import Kept
from hardpoint_executor.runners.flow.plan import FlowPlan
from hardpoint_executor.runners.http import HttpPlan
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import InvalidArgument, NotFound
from hardpoint_manifest.check import check
from hardpoint_manifest.load import is_typescript, language, load
from hardpoint_manifest.model import Kind

MOST_ARTIFACTS = 256

Strip = Callable[[str, str, str], Awaitable[str]]
"""Takes source and file name of TypeScript, and the organisation for which, and returns its JavaScript."""


@dataclass(frozen=True, slots=True)
class Code:
    """A module to run in a jail; of TypeScript, what is left without the types."""

    language: str
    source: str


@dataclass(frozen=True, slots=True)
class Calls:
    """Compiled web API calls by action id."""

    plans: dict[str, HttpPlan]

    def plan(self, action: str) -> HttpPlan:
        """The plan of an action; raises NotFound."""
        found = self.plans.get(action)
        if found is None:
            raise NotFound("action", action)
        return found

    def made(self, action: str, secrets: Mapping[str, Secret], settings: Mapping[str, Any]) -> dict[str, Secret]:
        """The secrets that an action makes of those of the execution; none for one that is not there."""
        found = self.plans.get(action)
        return {} if found is None else found.made(secrets, settings)


Program = Code | Calls | FlowPlan


class Programs:
    """The programs of recently used artifacts."""

    def __init__(self, artifacts: peers.Artifacts, clock: Clock, strip: Strip) -> None:
        self._artifacts = artifacts
        self._strip = strip
        self._kept: Kept[Program] = Kept(clock, MOST_ARTIFACTS)

    async def get(self, artifact: Artifact, org: str) -> Program:
        """What an artifact holds, ready to run, first for `org`; raises what reading and preparing it raise."""

        async def prepare() -> tuple[Program, datetime | None]:
            data = await self._artifacts.read(artifact.digest, artifact.ticket)
            return await self._prepared(data, artifact.filename, org), None

        # The name is part of the key: the same bytes may be a different language under another name.
        return await self._kept.get(f"{artifact.digest} {artifact.filename}", prepare)

    async def _prepared(self, data: bytes, filename: str, org: str) -> Program:
        written_in = language(filename)
        if not written_in:
            return _declared(data, filename)
        source = data.decode()
        # Once, in a Node jail of its own that runs nothing of it, and kept: loading Node's stripper takes longer than
        # a small action, and an engine without one is given JavaScript too.
        return Code(written_in, await self._strip(source, filename, org) if is_typescript(filename) else source)


def _declared(data: bytes, filename: str) -> Calls | FlowPlan:
    report = check(load(data, filename))
    if report.manifest is None:
        raise InvalidArgument(
            f"{filename} is not a manifest that can be run",
            reason="MANIFEST_INVALID",
            fix="publish the capability again; its checks say what is wrong",
        )
    manifest = report.manifest
    if manifest.kind is Kind.FLOW:
        return FlowPlan.compile(manifest)
    return Calls({a.id: HttpPlan.compile(a, manifest) for a in manifest.actions if a.http is not None})
