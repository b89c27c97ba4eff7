"""Nothing that is logged, traced, stored or told shows a token or a client's secret."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from config.calls import lease, read_settings
from config.connections.conftest import Parties, refused
from config.test_canary import dump, lines, spans  # noqa: F401 - a fixture
from serving import SetClock


async def test_tokens_and_secrets_are_found_nowhere(
    parties: Parties,
    clock: SetClock,
    url: str,
    audit: Callable[[], Awaitable[Any]],
    caplog: pytest.LogCaptureFixture,
    spans: InMemorySpanExporter,  # noqa: F811
) -> None:
    told: list[Any] = []
    with caplog.at_level(logging.DEBUG):
        told.append(await parties.connect())
        answer = await parties.consent(await parties.begin())
        told.append(await refused(parties.complete(state=answer["state"], code="code-canary-x"), "SIGN_IN_REFUSED"))
        clock.move(hours=1)
        await lease(parties.runtime)
        parties.provider.revoke()
        clock.move(hours=1)
        told.append(await refused(lease(parties.runtime), "CONNECTION_NEEDS_REAUTH"))
        told += [await parties.get(), await read_settings(parties.config), list(await audit())]
    traced = "\n".join(span.to_json() for span in spans.get_finished_spans())
    shown = [f"{one!r} {one} {getattr(one, 'metadata', '')}" for one in told]
    everywhere = "\n".join([*shown, lines(caplog), await dump(url), traced])
    assert "CompleteConnection" in traced
    assert len(parties.provider.secrets) > 6
    for secret in parties.provider.secrets:
        assert secret not in everywhere
