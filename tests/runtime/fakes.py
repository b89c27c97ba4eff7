"""Stand-ins for the runtime's peers; the last lines hold them to the same Protocols."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hardpoint_kit.caller import current_caller
from hardpoint_kit.documents import to_value
from hardpoint_kit.errors import Conflict, HardpointError, NotFound, Unavailable
from hardpoint_kit.names import (
    CapabilityName,
    ConnectionName,
    FileName,
    InstallationName,
    ReleaseName,
    RunName,
    SettingsName,
)
from hardpoint_runtime.domain.deliveries import Proof
from hardpoint_runtime.domain.executions import Ended, Execution, Handle, Lent, SaveLimits, Ticket
from hardpoint_runtime.domain.releases import OAuth2, RecordedExample, Release, Verifier
from hardpoint_runtime.domain.runs import RunState, Usage
from hardpoint_runtime.peers import Config, Executor, Files, Marketplace, Registry, Upload

FAR = datetime(2100, 1, 1, tzinfo=UTC)


class FakeRegistry:
    """Releases by name; the one added last is the best of its capability."""

    def __init__(self) -> None:
        self.releases: dict[str, Release] = {}
        self.asked: list[str] = []
        self.asked_by: list[str] = []
        self.expires = FAR
        self.recorded: list[RecordedExample] = []
        self.finished: list[tuple[str, Mapping[str, tuple[str, str]]]] = []
        self.patient = False

    def add(self, *releases: Release) -> None:
        for release in releases:
            self.releases[str(release.name)] = release

    async def resolve(self, capability: CapabilityName, constraint: str) -> Release:
        self._note(f"resolve {capability} {constraint}".strip())
        fitting = [release for release in self.releases.values() if release.name.capability_name == capability]
        if not fitting:
            raise NotFound("capability", capability)
        return fitting[-1]

    async def release(self, name: ReleaseName) -> Release:
        self._note(f"release {name}")
        if str(name) not in self.releases:
            raise NotFound("release", name)
        return self.releases[str(name)]

    async def artifact_ticket(self, name: ReleaseName) -> Ticket:
        self._note(f"ticket {name}")
        return Ticket(f"artifact-{len(self.asked)}", self.expires)

    async def recorded_examples(self, name: ReleaseName) -> Sequence[RecordedExample]:
        self._note(f"recorded {name}")
        return self.recorded

    async def finish_checks(
        self, name: ReleaseName, failures: Mapping[str, tuple[str, str]], late: Mapping[str, tuple[str, str]]
    ) -> bool:
        self._note(f"finish {name}")
        if late and self.patient:
            return False
        self.finished.append((str(name), {**failures, **late}))
        return True

    def _note(self, what: str) -> None:
        self.asked.append(what)
        who = current_caller()
        self.asked_by.append(who.org if who else "")


class FakeConfig:
    """Keys that have a value, leases with numbers, and a stream of changes that can break."""

    def __init__(self) -> None:
        self.keys: dict[str, set[str]] = {}
        self.settings: dict[str, dict[str, Any]] = {}
        self.leased: list[str] = []
        self.expires = FAR
        self.per_user = False
        self.not_connected: set[str] = set()
        self.lost = False
        self.watchers: list[asyncio.Queue[tuple[SettingsName, ...] | HardpointError]] = []
        self.watch_refused = False
        self.deleted: list[str] = []
        self.offered: list[tuple[str, OAuth2]] = []
        self.away = False
        self.unproved = ""
        self.verified: list[tuple[str, Verifier, bytes]] = []

    async def configured(self, settings: SettingsName) -> frozenset[str]:
        return frozenset(self.keys.get(str(settings), ()))

    async def values(self, settings: SettingsName) -> Mapping[str, Any]:
        return self.settings.get(str(settings), {})

    async def revision(self, settings: SettingsName) -> str:
        return str(sorted(self.settings.get(str(settings), {}).items()))

    async def lease(self, settings: SettingsName, user: str, signer: str = "") -> Ticket:
        self.leased.append(f"{settings} {user}".strip())
        if self.lost:
            link = {"link": f"https://id.example.com/?for={signer}"} if signer else {}
            raise Conflict("somebody has to sign in again", reason="CONNECTION_NEEDS_REAUTH", **link)
        if user and user in self.not_connected:
            raise Conflict(f"{user} has to sign in", reason="CONNECTION_NEEDS_REAUTH", user=user)
        return Ticket(f"lease-{len(self.leased)}", self.expires, self.per_user)

    async def offer(self, connection: ConnectionName, oauth2: OAuth2) -> None:
        self.offered.append((str(connection), oauth2))

    async def verify(
        self, settings: SettingsName, verifier: Verifier, headers: Mapping[str, str], body: bytes
    ) -> Proof:
        who = current_caller()
        assert who is not None
        assert who.org == settings.org
        if self.away:
            raise Unavailable("config is away")
        self.verified.append((str(settings), verifier, body))
        at = headers.get(verifier.timestamp_header, "")
        return Proof(self.unproved, f"sha256:{hashlib.sha256(at.encode() + body).hexdigest()}", timed=bool(at))

    async def delete(self, settings: SettingsName) -> None:
        who = current_caller()
        assert who is not None
        assert who.org == settings.org
        if self.away:
            raise Unavailable("config is away")
        self.deleted.append(str(settings))
        self.keys.pop(str(settings), None)

    async def changes(self) -> AsyncIterator[tuple[SettingsName, ...]]:
        if self.watch_refused:
            raise Unavailable("config is away")
        told: asyncio.Queue[tuple[SettingsName, ...] | HardpointError] = asyncio.Queue()
        self.watchers.append(told)
        try:
            yield ()
            while True:
                said = await told.get()
                if isinstance(said, HardpointError):
                    raise said
                yield said
        finally:
            self.watchers.remove(told)

    def tell(self, said: tuple[SettingsName, ...] | HardpointError) -> None:
        for watcher in self.watchers:
            watcher.put_nowait(said)


class FakeFiles:
    """Files by name, and who asked for tickets."""

    def __init__(self) -> None:
        self.handles: dict[str, Handle] = {}
        self.expired: dict[str, str] = {}
        """Since when."""
        self.tickets: list[tuple[str, list[str], SaveLimits]] = []
        self.uploaded: list[Upload] = []
        self.asked_after: list[str] = []
        self.news = asyncio.Event()

    def upload(self, name: str, called: str, kind: str) -> None:
        """Somebody uploads a file."""
        self.handles[name] = {"id": name, "name": called, "type": kind, "size": 3}
        self.uploaded.append(Upload(FileName.parse(name).org, self.handles[name]))
        self.news.set()

    async def uploads(self, after: str) -> AsyncIterator[tuple[tuple[Upload, ...], str]]:
        self.asked_after.append(after)
        told = int(after) if after else len(self.uploaded)
        yield (), str(told)
        while True:
            self.news.clear()
            fresh, told = tuple(self.uploaded[told:]), len(self.uploaded)
            if fresh:
                yield fresh, str(told)
            await self.news.wait()

    def add(self, name: str, called: str = "a.pdf") -> Handle:
        self.handles[name] = {"id": name, "name": called, "type": "application/pdf", "size": 3}
        return self.handles[name]

    async def ticket(self, run: RunName, names: Sequence[FileName], save: SaveLimits) -> Lent:
        asked = [str(name) for name in names]
        for name in asked:
            if name in self.expired:
                raise NotFound("file", name, reason="FILE_EXPIRED", fix="again", expire_time=self.expired[name])
            if name not in self.handles:
                raise NotFound("file", name)
        self.tickets.append((str(run), asked, save))
        return Lent(f"files-{len(self.tickets)}", tuple(self.handles[name] for name in asked))


class FakeMarketplace:
    """Counts installations, or fails."""

    def __init__(self) -> None:
        self.recorded: list[tuple[str, str]] = []
        self.failing = False
        self.attempts = 0

    async def record_installation(self, installation: InstallationName, capability: CapabilityName) -> None:
        self.attempts += 1
        if self.failing:
            raise Unavailable("marketplace is away")
        who = current_caller()
        assert who is not None
        assert who.org == installation.org
        self.recorded.append((str(installation), str(capability)))


class FakeExecutor:
    """Gives each input back as its output, unless told to behave otherwise."""

    def __init__(self) -> None:
        self.executions: list[Execution] = []
        self.behave: Callable[[Execution], Awaitable[Ended]] = succeed

    async def execute(self, execution: Execution) -> Ended:
        self.executions.append(execution)
        return await self.behave(execution)


async def succeed(execution: Execution) -> Ended:
    return Ended(RunState.SUCCEEDED, to_value(execution.input), None, Usage(wall_ms=3.0, broker_calls=1))


def raising(error: HardpointError) -> Callable[[Execution], Awaitable[Ended]]:
    async def refuse(_execution: Execution) -> Ended:
        raise error

    return refuse


def failing(error: HardpointError) -> Callable[[Execution], Awaitable[Ended]]:
    async def fail(_execution: Execution) -> Ended:
        return Ended(RunState.FAILED, None, error, Usage(wall_ms=2.0))

    return fail


class Gate:
    """An action that begins, says so, and ends when it is let go."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.released = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.running = 0

    async def __call__(self, execution: Execution) -> Ended:
        self.running += 1
        self.begun.set()
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return await succeed(execution)


_registry: type[Registry] = FakeRegistry
_config: type[Config] = FakeConfig
_marketplace: type[Marketplace] = FakeMarketplace
_files: type[Files] = FakeFiles
_executor: type[Executor] = FakeExecutor
