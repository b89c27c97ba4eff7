"""Owns the snapshots of agents and the policies of orgs in this process's memory, and how far they may be trusted."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.clock import Clock
from hardpoint_kit.names import AgentName, PolicyName
from hardpoint_runtime.domain.policy import Policy
from hardpoint_runtime.domain.snapshot import Snapshot
from hardpoint_runtime.service.memory import Memory
from hardpoint_runtime.store import Store

T = TypeVar("T")
CAPACITY = 10_000
UNHEARD = timedelta(seconds=1)
"""How long a snapshot is trusted while this process does not hear what others change."""


@dataclass(frozen=True, slots=True)
class _Loaded(Generic[T]):
    value: T
    at: datetime


class Snapshots:
    """What agents may call, loaded by one query and kept until something of it changes; and so are policies.

    `hear` takes the names of what changed, `listen` whether every such name is sure to come.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._hearing = False
        self._store = store
        self._clock = clock
        self._memory: Memory[AgentName, _Loaded[Snapshot]] = Memory(self._usable, CAPACITY)
        self._policies: Memory[PolicyName, _Loaded[Policy]] = Memory(self._usable, CAPACITY)

    async def get(self, agent: AgentName) -> Snapshot:
        """The snapshot of an agent; raises NotFound, and Unavailable while it is not known and cannot be loaded."""
        return (await self._memory.get(agent, lambda: self._load(agent))).value

    async def policy(self, org: str) -> Policy:
        """The policy of an org; raises Unavailable while it is not known and cannot be loaded."""
        name = PolicyName(org)
        return (await self._policies.get(name, lambda: self._load_policy(name))).value

    def hear(self, name: str) -> None:
        """Drop what is stale since the agent, installation or policy of this name changed."""
        self._memory.drop_where(lambda loaded: str(loaded.value.agent) == name or name in loaded.value.installations)
        self._policies.drop_keys(lambda policy: str(policy) == name)

    def listen(self, hearing: bool) -> None:
        """Begin or stop to rely on `hear`; everything is dropped, since changes may have been missed."""
        self._hearing = hearing
        self._memory.clear()
        self._policies.clear()

    async def _load(self, agent: AgentName) -> _Loaded[Snapshot]:
        at = self._clock.now()
        async with self._store.transaction(SYSTEM(agent.org)) as tx:
            return _Loaded(await tx.snapshots.get(agent), at)

    async def _load_policy(self, name: PolicyName) -> _Loaded[Policy]:
        at = self._clock.now()
        async with self._store.transaction(SYSTEM(name.org)) as tx:
            return _Loaded(await tx.policies.get(name), at)

    def _usable(self, loaded: _Loaded[Any]) -> bool:
        return self._hearing or self._clock.now() - loaded.at < UNHEARD
