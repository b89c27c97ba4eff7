"""Two runtime processes on one database: what one changes is in force at the other, also after a lost connection."""

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import make_url

from hardpoint.runtime.v1 import agent_pb2, installation_pb2
from hardpoint_kit.errors import NotFound
from hardpointd.postgres import EmbeddedPostgres
from runtime.conftest import AGENT, INSTALLATION, TOOL, Another, Client, Dial, eventually
from serving import SetClock

PROMISED_SECONDS = 2.0


@pytest.fixture
async def other(attached: Client, another: Another, dial: Dial) -> Client:
    """A client of a second process that knows the agent already."""
    client = dial(await another())
    assert await client.tools() == [TOOL]
    return client


def sees(client: Client, *tools: str) -> Callable[[], Awaitable[bool]]:
    async def seen() -> bool:
        return await client.tools() == list(tools)

    return seen


async def test_detach_and_attach_reach_the_other_process(attached: Client, other: Client) -> None:
    await attached.detach()
    await eventually(sees(other), PROMISED_SECONDS)
    with pytest.raises(NotFound):
        await other.call()
    await attached.attach()
    await eventually(sees(other, TOOL), PROMISED_SECONDS)
    await other.call()


async def test_pause_disable_and_delete_reach_the_other_process(attached: Client, other: Client) -> None:
    await attached.agents.PauseAgent(agent_pb2.PauseAgentRequest(name=AGENT))
    await eventually(sees(other), PROMISED_SECONDS)
    await attached.agents.ResumeAgent(agent_pb2.ResumeAgentRequest(name=AGENT))
    await eventually(sees(other, TOOL), PROMISED_SECONDS)
    await attached.installations.DisableInstallation(installation_pb2.DisableInstallationRequest(name=INSTALLATION))
    await eventually(sees(other), PROMISED_SECONDS)
    await attached.installations.EnableInstallation(installation_pb2.EnableInstallationRequest(name=INSTALLATION))
    await eventually(sees(other, TOOL), PROMISED_SECONDS)
    await attached.agents.DeleteAgent(agent_pb2.DeleteAgentRequest(name=AGENT))

    async def gone() -> bool:
        try:
            await other.call()
        except NotFound as error:
            return error.reason == "NOT_FOUND"
        return False

    await eventually(gone, PROMISED_SECONDS)


async def test_a_lost_ear_grows_again_and_nothing_old_is_believed(
    attached: Client, other: Client, url: str, postgres: EmbeddedPostgres, clock: SetClock
) -> None:
    ears = f"""
        FROM pg_stat_activity WHERE datname = '{make_url(url).database}'
            AND (query = 'SELECT 1' OR query LIKE 'LISTEN %')
    """
    async with await postgres.connect() as superuser:

        async def listening() -> set[int]:
            rows = await (await superuser.execute(f"SELECT pid {ears}".encode())).fetchall()
            return {pid for (pid,) in rows}

        before = await listening()
        assert len(before) == 2
        await superuser.execute(f"SELECT pg_terminate_backend(pid) {ears}".encode())
        await attached.detach()
        # Whatever the other process missed, it believes for a second of its clock at most.
        clock.move(seconds=1.1)
        await eventually(sees(other), PROMISED_SECONDS)

        async def grown_again() -> bool:
            now = await listening()
            return len(now) == 2 and not now & before

        await eventually(grown_again)
    await attached.attach()
    await eventually(sees(other, TOOL), PROMISED_SECONDS)
