"""Databases on the server: one for each service, each with a role that is granted nothing else."""

import asyncio
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import URL

from hardpoint_kit.errors import Unavailable
from hardpointd.postgres.server import HOST, EmbeddedPostgres

ENSURE_SECONDS = 30.0

Connection = psycopg.AsyncConnection[Any]


async def ensure_database(server: EmbeddedPostgres, name: str) -> str:
    """The SQLAlchemy URL of the database `name`, owned by a role of that name that may enter no other; Unavailable."""
    try:
        async with asyncio.timeout(ENSURE_SECONDS), await server.connect() as connection:
            await connection.execute("SELECT pg_advisory_lock(hashtext('hardpoint.ensure_database'))")
            password = server.password(name)
            await _ensure_role(connection, name, password)
            await _ensure_owned(connection, name)
    except (psycopg.OperationalError, TimeoutError) as error:
        raise Unavailable(f"the database {name} cannot be made: {error}", place=str(server.folder)) from error
    url = URL.create("postgresql+psycopg", name, password, HOST, server.port, name)
    return url.render_as_string(hide_password=False)


async def _ensure_role(connection: Connection, name: str, password: str) -> None:
    found = await connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name])
    if not found.rowcount:
        await connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
    # Only the verifier travels, so that no log of statements can hold the password.
    verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    rights = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
    await connection.execute(sql.SQL(f"ALTER ROLE {{}} {rights} PASSWORD {{}}").format(sql.Identifier(name), verifier))


async def _ensure_owned(connection: Connection, name: str) -> None:
    database = sql.Identifier(name)
    found = await connection.execute("SELECT FROM pg_database WHERE datname = %s", [name])
    if not found.rowcount:
        await connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, database))
    await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {}, postgres, template1 FROM PUBLIC").format(database))
