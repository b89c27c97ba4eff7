"""Brokers whose hosts are servers of the test, by alias."""

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from executor.kept import Kept
from executor.post import Post
from executor.upstream import Upstream
from hardpoint_executor.broker.broker import Broker
from hardpoint_executor.broker.databases import Databases
from hardpoint_executor.broker.declared import Declared
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.fetch import FetchRequest
from hardpoint_executor.broker.http import HttpClient, Owner
from hardpoint_executor.broker.limits import BrokerLimits
from hardpoint_executor.broker.scrub import Watched
from hardpoint_executor.broker.secrets import Secret, Secrets, password_in
from hardpoint_executor.broker.tape import Tape
from hardpoint_executor.domain import Known, Lent
from hardpoint_executor.writes import Writes
from hardpoint_kit.dial import Resolve, parse_aliases
from hardpoint_manifest.authority import PERMISSIONS, Authority

ACME = Owner("acme", "weather-lookup")


@dataclass(frozen=True)
class Place:
    """Where a server of this machine listens that is no Upstream."""

    place: str


URL = "https://api.example.com/v1"


async def no_such_name(host: str, port: int) -> list[str]:
    raise socket.gaierror(socket.EAI_NONAME, "no such name")


def resolving(*answers: list[str]) -> Resolve:
    remaining = list(answers)

    async def resolve(host: str, port: int) -> list[str]:
        return remaining.pop(0)

    return resolve


@asynccontextmanager
async def client_of(
    aliases: Mapping[str, Upstream | Post | Place], resolve: Resolve = no_such_name
) -> AsyncIterator[HttpClient]:
    table = parse_aliases({host: upstream.place for host, upstream in aliases.items()})
    client = HttpClient(table, resolve)
    try:
        yield client
    finally:
        await client.close()


def broker_of(
    client: HttpClient,
    *,
    permissions: frozenset[str] = frozenset(PERMISSIONS),
    hosts: tuple[str, ...] = ("api.example.com", "other.example.com"),
    secrets: Mapping[str, str] | None = None,
    secret_hosts: tuple[str, ...] | None = None,
    asked: Authority | None = None,
    context: Mapping[str, str] | None = None,
    limits: BrokerLimits | None = None,
    owner: Owner = ACME,
    kept: Kept | None = None,
    lent: Lent | None = None,
    known: Known | None = None,
    settings: Mapping[str, Any] | None = None,
    idempotency_key: str = "",
    databases: Databases | None = None,
    writes: Writes | None = None,
    tape: Tape | None = None,
    call: Any = None,
) -> Broker:
    allowed = Authority.of((), hosts if secret_hosts is None else secret_hosts).hosts
    values = dict(secrets or {})
    return Broker(
        owner,
        Authority.of(permissions, hosts),
        Secrets(
            {
                key: Secret(value, allowed, f"/capability/configuration/{n}")
                for n, (key, value) in enumerate(values.items())
            }
        ),
        client,
        limits,
        watched=[Watched(key, value) for key, value in values.items()]
        + [Watched(f"{key} password", password_in(value)) for key, value in values.items()],
        declared=Declared(asked or Authority.of(permissions, hosts)),
        context=context,
        stored=kept or Kept(),
        lent=lent or (kept.lent() if kept else None),
        known=known,
        settings=settings,
        idempotency_key=idempotency_key,
        databases=databases or Databases(client.dialler, client.tls),
        writes=writes,
        tape=tape,
        call=call,
    )


async def code_of(broker: Broker, request: FetchRequest) -> DenialCode:
    with pytest.raises(BrokerDenied) as denied:
        await broker.fetch(request)
    assert denied.value.message
    return DenialCode(denied.value.code)
