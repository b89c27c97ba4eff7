"""Every unit with a database forgets what is over, by its own options, from its start on."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from hardpoint_kit.audit import record
from hardpoint_kit.caller import Caller
from hardpoint_kit.database import Database
from hardpoint_kit.idempotency import once
from hardpoint_kit.names import AgentName
from hardpoint_kit.platform import Platform
from hardpoint_kit.rpc.client import channel
from hardpointd.catalog import UNITS, WITHOUT_DATABASE, server_module
from serving import SetClock, eventually

DAYS = {"request_days": 2, "audit_days": 3}
TABLES = ("requests", "audit_events")
ADA = Caller("ada", "acme", frozenset({"operator"}), request_id="r")


@pytest.mark.parametrize("unit", sorted(set(UNITS) - WITHOUT_DATABASE))
async def test_what_is_over_is_gone_and_what_is_not_stays(unit: str, database_url: Any, tmp_path: Any) -> None:
    url = await database_url(f"hardpoint_{unit}")
    database = Database(url)

    async def work() -> int:
        await record(connection, ADA, "agent.create", AgentName("acme", "a"))
        return 1

    async def rows() -> tuple[int, int]:
        async with database.transaction("acme") as reading:
            counts = [await reading.scalar(text(f"SELECT count(*) FROM {table}")) for table in TABLES]
        return counts[0], counts[1]

    async with database.transaction("acme") as connection:
        await once(connection, ADA, "Make", "f", int, work)
    for days, expected in ((2.5, (0, 1)), (3.5, (0, 0))):
        clock = SetClock(datetime.now(UTC) + timedelta(days=days))
        platform = Platform(clock, lambda _peer: channel("127.0.0.1:1"), tmp_path)
        module = server_module(unit)
        built = module.build(module.Options(**{f"{unit}_database_url": url, **DAYS}), platform)
        await built.start()
        try:
            await eventually(lambda expected=expected: holds(rows, expected))
        finally:
            await built.stop()
    await database.close()


async def holds(rows: Any, expected: tuple[int, int]) -> bool:
    return await rows() == expected
