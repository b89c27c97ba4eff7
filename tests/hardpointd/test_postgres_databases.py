"""Databases on the embedded server: each service has its own, with a role and a password of its own."""

import asyncio

import psycopg
import pytest
from sqlalchemy import make_url

from hardpointd.postgres import EmbeddedPostgres, ensure_database


async def connect(url: str, database: str | None = None) -> psycopg.AsyncConnection[tuple[object, ...]]:
    address = make_url(url).set(drivername="postgresql", database=database)
    return await psycopg.AsyncConnection.connect(address.render_as_string(hide_password=False), autocommit=True)


async def test_a_server_without_its_password_lets_nobody_in(postgres: EmbeddedPostgres) -> None:
    for password in ("", "postgres"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            await psycopg.AsyncConnection.connect(
                host="127.0.0.1", port=postgres.port, user="postgres", dbname="postgres", password=password
            )


async def test_a_role_enters_its_own_database_only(postgres: EmbeddedPostgres) -> None:
    config = await ensure_database(postgres, "hardpoint_apart_one")
    await ensure_database(postgres, "hardpoint_apart_two")
    async with await connect(config) as connection:
        rights = "rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication"
        granted = await connection.execute(f"SELECT {rights} FROM pg_roles WHERE rolname = current_user")
        assert await granted.fetchall() == [(False,)]
    for other in ("hardpoint_apart_two", "postgres", "template1"):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            await connect(config, database=other)


async def test_a_lost_password_file_is_replaced(postgres: EmbeddedPostgres) -> None:
    before = await ensure_database(postgres, "hardpoint_forgetful")
    (postgres.folder / "hardpoint_forgetful.password").unlink()
    after = await ensure_database(postgres, "hardpoint_forgetful")
    assert after != before
    await (await connect(after)).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await connect(before)


async def test_concurrent_units_agree_on_their_databases(postgres: EmbeddedPostgres) -> None:
    names = ["hardpoint_wanted", "hardpoint_wanted_too"] * 4
    urls = await asyncio.gather(*(ensure_database(postgres, name) for name in names))
    assert len(set(urls)) == 2
    for url in set(urls):
        await (await connect(url)).close()
