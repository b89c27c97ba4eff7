"""A secret's value goes in and comes out through a lease; it is nowhere else: tables, logs, spans, errors, events."""

import base64
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import text

from config.calls import NAME, TOKEN, create, delete, leased, read, read_settings, rotate, update
from hardpoint.config.v1 import config_pb2
from hardpoint_config.crypto import Keyring
from hardpoint_kit.database import Database
from hardpoint_kit.errors import HardpointError
from hardpoint_kit.idempotency import request_fingerprint
from hardpoint_kit.options import Options
from hardpoint_kit.telemetry import setup

CANARY = b"canary-7f3a9c51e2-do-not-sing"
SPELLINGS = [
    CANARY.decode(),
    CANARY.hex(),
    CANARY.hex().upper(),
    # The middle of the base64 of the value at each of the three places it can start in a longer text.
    *(base64.b64encode(b"x" * shift + CANARY).decode()[4:-4] for shift in range(3)),
]


def sightings(*places: str) -> list[str]:
    return [spelling for spelling in SPELLINGS for place in places if spelling in place]


@pytest.fixture
def spans() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    setup("tests", Options()).add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


async def dump(url: str) -> str:
    """Every row of every table, as text."""
    database = Database(url)
    rows: list[str] = []
    async with database.transaction("*") as connection:
        tables = await connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        for table in tables.all():
            rows += (await connection.scalars(text(f"SELECT t::text FROM {table} AS t"))).all()
    await database.close()
    return "\n".join(rows)


def lines(caplog: pytest.LogCaptureFixture) -> str:
    """The log as the process writes it, and everything that its records hold."""
    formatter = logging.getLogger().handlers[0].formatter
    assert formatter is not None
    return "\n".join(f"{formatter.format(record)} {record.__dict__}" for record in caplog.records) + caplog.text


async def fails(call: Awaitable[Any]) -> str:
    with pytest.raises(HardpointError) as refused:
        await call
    error = refused.value
    return f"{error!r} {error} {error.fix} {error.place} {error.metadata} {error.violations}"


async def sing(config: Any, runtime: Any) -> list[str]:
    """Call every RPC that has to do with values, in every way that succeeds or fails; returns what was answered."""
    told = [await create(config, value=CANARY, description="d", request_id="c1")]
    told += [await create(config, value=CANARY, description="d", request_id="c1")]
    told += [await fails(create(config, value=CANARY))]
    told += [await fails(create(config, value=CANARY, description="e", request_id="c1"))]
    told += [await fails(create(config, "Not An Id", value=CANARY))]
    told += [await fails(create(config, "big", value=CANARY * 3000))]
    told += [await fails(create(config, "other", value=CANARY, description="\0"))]
    told += [await rotate(config, value=CANARY, request_id="r1")]
    told += [await rotate(config, value=CANARY, request_id="r1")]
    told += [await fails(rotate(config, value=CANARY, name="orgs/acme/secrets/missing"))]
    told += [await fails(rotate(config, value=CANARY, name="no name"))]
    told += [await fails(rotate(runtime, value=CANARY, name="orgs/other/secrets/token"))]
    told += [await read(config)]
    told += [await config.ListSecrets(config_pb2.ListSecretsRequest(parent="orgs/acme"))]
    told += [await update(config, {"A": 1}, {"KEY": TOKEN}), await read_settings(config)]
    told += [await fails(delete(config))]
    return [str(one) for one in told]


async def test_the_value_is_found_nowhere(
    config: Any,
    runtime: Any,
    audit: Callable[[], Awaitable[Any]],
    url: str,
    caplog: pytest.LogCaptureFixture,
    spans: InMemorySpanExporter,
) -> None:
    with caplog.at_level(logging.DEBUG):
        answers = await sing(config, runtime)
        assert await leased(runtime) == {"KEY": CANARY}
        answers += [str(event) for event in await audit()]
    stored, logged = await dump(url), lines(caplog)
    traced = "\n".join(json.dumps(json.loads(span.to_json())) for span in spans.get_finished_spans())
    assert "/hardpoint.config.v1.ConfigService/CreateSecret" in logged
    assert "CreateSecret" in traced
    assert NAME in stored
    assert sightings(*answers, stored, logged, traced) == []
    # Nor a plain hash, by which somebody with the table could try values until one fits.
    asked = config_pb2.CreateSecretRequest(parent="orgs/acme", secret_id="token", description="d", value=CANARY)
    assert request_fingerprint(asked) not in stored


async def test_a_defect_while_the_value_is_held_does_not_show_it(
    config: Any, caplog: pytest.LogCaptureFixture, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("a defect")

    monkeypatch.setattr(Keyring, "seal", broken)
    with caplog.at_level(logging.DEBUG):
        answer = await fails(create(config, value=CANARY))
    traced = "\n".join(span.to_json() for span in spans.get_finished_spans())
    assert "a defect" in lines(caplog)
    assert sightings(answer, lines(caplog), traced) == []


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_search_sees_every_spelling(spelling: str) -> None:
    assert sightings(f"row ({spelling})")
