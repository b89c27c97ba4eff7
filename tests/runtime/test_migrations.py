"""What an earlier version wrote is read after the upgrade, and what it still writes meanwhile is not refused."""

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

import hardpoint_runtime
from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.database import Database, migrate
from hardpoint_kit.names import InstallationName, RunName
from hardpoint_runtime.domain.grants import GrantUse
from hardpoint_runtime.store import Store
from hardpoint_runtime.store.rows import RELEASE
from runtime.factories import release

VERSIONS = Path(hardpoint_runtime.__path__[0]) / "migrations" / "versions"
INSTALL = b"""
    INSERT INTO installations (org, installation, uid, version_constraint, release, permissions, hosts, state,
        created_at, updated_at, revision)
    VALUES ('acme', %(id)s, %(id)s, '', %(release)s::jsonb, '{network.http.get}', '{}', 'ACTIVE', now(), now(), 1)
"""
RUN = b"""
    INSERT INTO runs (org, run, agent, action, release, state, reason, message, place, fix, started_at, duration_us,
        usage, trace_id, subject)
    VALUES ('acme', %(id)s, '', 'weather.get-weather', 'orgs/acme/capabilities/weather/releases/1.0.0', 'FAILED',
        'TIMEOUT', 'late', '', '', now(), 5, '{}', '', 'ada')
"""


Before = Callable[[str], Awaitable[str]]


@pytest.fixture
def before(database_url: Callable[..., Awaitable[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Before:
    """`await before("0003")` is a database as it was before that migration."""

    async def before(revision: str) -> str:
        url = await database_url()
        versions = tmp_path / "runtime_of_before" / "migrations" / "versions"
        versions.mkdir(parents=True)
        for path in VERSIONS.glob("0*.py"):
            if path.name < revision:
                shutil.copy(path, versions)
        (tmp_path / "runtime_of_before" / "__init__.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
        await migrate(url, "runtime_of_before")
        return url

    return before


async def test_facts_and_uses_are_added_to_what_was_there(before: Before) -> None:
    url = await before("0003")
    conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    pinned = RELEASE.dump_json(release()).decode()
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as old:
        await old.execute("SELECT set_config('hardpoint.org', '*', false)")
        for id in ("before", "meanwhile"):
            await old.execute(INSTALL, {"id": id, "release": pinned})
            await old.execute(RUN, {"id": id})
            await migrate(url, "hardpoint_runtime")
    database = Database(url)
    async with Store(database).transaction(SYSTEM("acme")) as tx:
        for id in ("before", "meanwhile"):
            view = await tx.installations.get(InstallationName("acme", id))
            assert view.grant_uses == [GrantUse("network.http.get")]
            assert view.installation.granted_at is not None
            assert view.installation.prefix == "weather", "it is called as it was"
            assert (await tx.runs.get(RunName("acme", id))).failure.facts == {}
    await database.close()


async def test_deliveries_are_not_rewritten_when_they_get_their_order(before: Before) -> None:
    """Nothing could be delivered meanwhile, and there may be a month of them."""
    url = await before("0015")
    conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as old:

        async def file() -> object:
            return await (await old.execute("SELECT pg_relation_filenode('deliveries')")).fetchone()

        was = await file()
        await migrate(url, "hardpoint_runtime")
        assert await file() == was
