"""Owns the snapshots of agents in this process's memory, and how far they may be trusted."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.clock import Clock
from hardpoint_kit.names import AgentName
from hardpoint_runtime.domain.snapshot import Snapshot
from hardpoint_runtime.service.memory import Memory
from hardpoint_runtime.store import Store

CAPACITY = 10_000
UNHEARD = timedelta(seconds=1)
"""How long a snapshot is trusted while this process does not hear what others change."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    snapshot: Snapshot
    at: datetime


class Snapshots:
    """What agents may call, loaded by one query and kept until something of it changes.

    `hear` takes the names of what changed, `listen` whether every such name is sure to come.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._hearing = False
        self._store = store
        self._clock = clock
        self._memory: Memory[AgentName, _Loaded] = Memory(self._usable, CAPACITY)

    async def get(self, agent: AgentName) -> Snapshot:
        """The snapshot of an agent; raises NotFound, and Unavailable while it is not known and cannot be loaded."""
        return (await self._memory.get(agent, lambda: self._load(agent))).snapshot

    def hear(self, name: str) -> None:
        """Drop what is stale since the agent or installation of this name changed."""
        self._memory.drop_where(
            lambda loaded: str(loaded.snapshot.agent) == name or name in loaded.snapshot.installations
        )

    def listen(self, hearing: bool) -> None:
        """Begin or stop to rely on `hear`; everything is dropped, since changes may have been missed."""
        self._hearing = hearing
        self._memory.clear()

    async def _load(self, agent: AgentName) -> _Loaded:
        at = self._clock.now()
        async with self._store.transaction(SYSTEM(agent.org)) as tx:
            return _Loaded(await tx.snapshots.get(agent), at)

    def _usable(self, loaded: _Loaded) -> bool:
        return self._hearing or self._clock.now() - loaded.at < UNHEARD
