"""How far a snapshot in memory is trusted."""

from collections.abc import AsyncIterator

import pytest

from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.database import Database
from hardpoint_kit.names import AgentName
from hardpoint_runtime.domain.agents import AgentState
from hardpoint_runtime.service.agents import Agents
from hardpoint_runtime.service.snapshots import Snapshots
from hardpoint_runtime.service.standard import Standard
from hardpoint_runtime.store import Store
from runtime.conftest import AGENT, Client, Query
from runtime.fakes import FakeConfig, FakeRegistry
from serving import SetClock

HELPER = AgentName("acme", "helper")
PAUSE_UNHEARD = "UPDATE agents SET state = 'PAUSED'"


@pytest.fixture
async def snapshots(url: str, client: Client, clock: SetClock) -> AsyncIterator[Snapshots]:
    """Snapshots of a process that hears nothing unless a test says so; there is an agent."""
    await client.create_agent()
    database = Database(url)
    yield Snapshots(Store(database), clock)
    await database.close()


async def state(snapshots: Snapshots) -> AgentState:
    return (await snapshots.get(HELPER)).state


async def test_unheard_changes_are_seen_within_a_second(snapshots: Snapshots, clock: SetClock, query: Query) -> None:
    assert await state(snapshots) is AgentState.ACTIVE
    await query(PAUSE_UNHEARD)
    clock.move(seconds=0.9)
    assert await state(snapshots) is AgentState.ACTIVE
    clock.move(seconds=0.2)
    assert await state(snapshots) is AgentState.PAUSED


async def test_who_hears_trusts_until_told(snapshots: Snapshots, clock: SetClock, query: Query) -> None:
    snapshots.listen(True)
    assert await state(snapshots) is AgentState.ACTIVE
    await query(PAUSE_UNHEARD)
    clock.move(hours=1)
    snapshots.hear("orgs/acme/agents/another")
    assert await state(snapshots) is AgentState.ACTIVE
    snapshots.hear(AGENT)
    assert await state(snapshots) is AgentState.PAUSED


@pytest.mark.parametrize("hearing", [True, False])
async def test_whoever_missed_something_believes_nothing(snapshots: Snapshots, query: Query, hearing: bool) -> None:
    snapshots.listen(True)
    assert await state(snapshots) is AgentState.ACTIVE
    await query(PAUSE_UNHEARD)
    snapshots.listen(hearing)
    assert await state(snapshots) is AgentState.PAUSED


async def test_a_process_sees_its_own_changes_at_once(url: str, client: Client, clock: SetClock) -> None:
    await client.create_agent()
    database = Database(url)
    store = Store(database)
    snapshots = Snapshots(store, clock)
    store.on_change = snapshots.hear
    snapshots.listen(True)
    assert await state(snapshots) is AgentState.ACTIVE
    standard = Standard(store, FakeRegistry(), clock, ())
    await Agents(store, FakeConfig(), standard, clock).pause_agent(SYSTEM("acme"), HELPER, "")
    assert await state(snapshots) is AgentState.PAUSED
    await database.close()
