"""News of changed settings: who hears what, from every process, and what happens when nothing can be heard."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from typing import Any

import pytest
from sqlalchemy import text

from config.calls import NAME, TOKEN, create, delete, delete_settings, read_settings, rotate, update
from config.conftest import Dial, MakeUnit
from hardpoint.config.v1 import config_pb2
from hardpoint_config.changes import MOST_NAMES, Changes, announce
from hardpoint_kit.database import Database
from hardpoint_kit.errors import PermissionDenied, StaleEtag, Unavailable
from hardpoint_kit.names import SettingsName
from hardpoint_kit.rpc.server import Server
from serving import Serve

SECONDS = 20.0
OTHER = "orgs/acme/settings/other"


class Watch:
    """A WatchChanges stream, read with a deadline."""

    def __init__(self, stub: Any) -> None:
        self._stream: AsyncIterator[Any] = aiter(stub.WatchChanges(config_pb2.WatchChangesRequest()))

    async def next(self) -> list[str]:
        async with asyncio.timeout(SECONDS):
            return list((await anext(self._stream)).settings)


async def watching(runtime: Any) -> Watch:
    watch = Watch(runtime)
    assert await watch.next() == []
    return watch


async def cut_off(url: str) -> None:
    """End the server side of every connection that listens."""
    database = Database(url)
    async with database.transaction("*") as connection:
        cut = await connection.execute(
            # Of this database alone: other tests listen beside us, as the same role.
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE query LIKE 'LISTEN%' AND datname = current_database()"
            )
        )
        assert cut.rowcount > 0
    await database.close()


async def test_an_update_is_told_by_name(config: Any, runtime: Any) -> None:
    watch = await watching(runtime)
    await update(config, {"A": 1})
    assert await watch.next() == [NAME]


async def test_a_deletion_is_told_by_name(config: Any, runtime: Any) -> None:
    await update(config, {"A": 1})
    watch = await watching(runtime)
    await delete_settings(config, OTHER)
    await delete_settings(config)
    assert await watch.next() == [NAME]


async def test_rotating_is_told_to_all_that_use_the_secret_and_nobody_else(config: Any, runtime: Any) -> None:
    watch = await watching(runtime)
    await create(config)
    await create(config, "unused")
    for name in (NAME, OTHER):
        await update(config, {}, {"KEY": TOKEN, "SAME": TOKEN}, name=name)
    await update(config, {"A": 1}, name="orgs/acme/settings/third")
    while "orgs/acme/settings/third" not in await watch.next():
        pass
    await rotate(config)
    heard = await watch.next()
    while len(heard) < 2:
        heard += await watch.next()
    assert sorted(heard) == sorted([NAME, OTHER])
    await rotate(config, name="orgs/acme/secrets/unused")
    await delete(config, name="orgs/acme/secrets/unused")
    await update(config, {"A": 1})
    assert await watch.next() == [NAME]


async def test_a_write_that_fails_is_not_told(config: Any, runtime: Any) -> None:
    watch = await watching(runtime)
    await update(config, {"A": 1})
    assert await watch.next() == [NAME]  # word of it comes when it comes, else to a watch that began later
    with pytest.raises(StaleEtag):
        await update(config, {"A": 2}, etag="old")
    await update(config, {"B": 1}, name=OTHER)
    assert await watch.next() == [OTHER]


async def test_a_transaction_that_is_rolled_back_tells_nothing(url: str, listening: Changes) -> None:
    database = Database(url)

    async def rolled_back() -> None:
        async with database.transaction("acme") as connection:
            await announce(connection, [SettingsName("acme", "undone")])
            raise RuntimeError("changed my mind")

    async with aclosing(listening.watch()) as watch:
        assert await anext(watch) == ()
        with pytest.raises(RuntimeError):
            await rolled_back()
        async with database.transaction("acme") as connection:
            await announce(connection, [SettingsName("acme", "done")])
        assert await within(anext(watch)) == ("orgs/acme/settings/done",)
    await database.close()


async def test_what_is_told_is_committed(config: Any, runtime: Any) -> None:
    watch = await watching(runtime)
    for number in range(5):
        await update(config, {"A": number})
        assert await watch.next() == [NAME]
        assert (await read_settings(config)).values["A"] == number


async def test_every_process_hears_of_every_org(
    config: Any, server: Server, dial: Dial, make_unit: MakeUnit, serve: Serve
) -> None:
    second = await serve(make_unit())
    watches = [await watching(dial(one, role="service")) for one in (server, second)]
    await update(config, {"A": 1})
    for watch in watches:
        assert await watch.next() == [NAME]
    theirs = "orgs/other/settings/weather"
    await update(dial(second, "other"), {"A": 1}, name=theirs)
    for watch in watches:
        assert await watch.next() == [theirs]


async def test_on_a_lost_connection_every_stream_ends_and_a_new_one_hears_again(
    config: Any, runtime: Any, url: str
) -> None:
    watches = [await watching(runtime) for _ in range(2)]
    await cut_off(url)
    for watch in watches:
        with pytest.raises(Unavailable):
            await watch.next()
    again = await watching_again(runtime)
    await update(config, {"A": 1})
    assert await again.next() == [NAME]


async def watching_again(runtime: Any) -> Watch:
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                return await watching(runtime)
            except Unavailable:
                await asyncio.sleep(0.05)


async def test_a_server_that_cannot_be_reached_makes_no_watcher_wait() -> None:
    changes = Changes("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(Unavailable):
        await anext(changes.watch())
    assert "not heard" in changes.reasons_not_ready()[0]


async def test_stopping_ends_every_watch(listening: Changes) -> None:
    watch = listening.watch()
    assert await anext(watch) == ()
    assert listening.reasons_not_ready() == []
    await listening.stop()
    assert "not heard" in listening.reasons_not_ready()[0]
    with pytest.raises(Unavailable):
        await within(anext(watch))


async def test_only_units_of_ours_watch(server: Server, dial: Dial) -> None:
    with pytest.raises(PermissionDenied):
        await Watch(dial(server, role="admin")).next()


async def test_a_busy_reader_gets_each_name_once(url: str, listening: Changes) -> None:
    database = Database(url)
    names = [SettingsName("acme", f"s{number}") for number in range(MOST_NAMES + 5)]
    async with aclosing(listening.watch()) as watch, aclosing(listening.watch()) as attentive:
        assert await anext(watch) == await anext(attentive) == ()
        for _ in range(3):
            async with database.transaction("acme") as connection:
                await announce(connection, names)
        last = SettingsName("acme", "last")
        async with database.transaction("acme") as connection:
            await announce(connection, [last])
        while str(last) not in await within(anext(attentive)):
            pass
        heard = [await within(anext(watch)) for _ in range(2)]
    assert [len(part) for part in heard] == [MOST_NAMES, 6]
    assert set(heard[0] + heard[1]) == {str(name) for name in (*names, last)}
    await database.close()


@pytest.fixture
async def listening(url: str) -> AsyncIterator[Changes]:
    """News that is heard, without a unit around it."""
    changes = Changes(url)
    await changes.start()
    yield changes
    await changes.stop()


async def within(work: Coroutine[Any, Any, tuple[str, ...]]) -> tuple[str, ...]:
    return await asyncio.wait_for(work, SECONDS)
