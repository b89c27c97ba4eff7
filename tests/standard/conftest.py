"""Standard capabilities as the executor runs them: shipped code, real jails, what it asks for answered by the test."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from executor.brokers import broker_of, client_of
from executor.kept import Kept
from executor.test_service import EXECUTION
from hardpoint_executor import domain
from hardpoint_executor.artifacts import Code
from hardpoint_executor.broker.broker import Broker
from hardpoint_executor.jail import Jails
from hardpoint_executor.runners.code import CodeRunner
from hardpoint_standard import shipped
from jail.shared import SharedJails


@pytest.fixture
async def jails(shared_jails: SharedJails) -> Jails:
    return await shared_jails.of("slots")


class Standard:
    """Calls of standard actions."""

    def __init__(self, jails: Jails) -> None:
        self._jails = jails

    async def ran(
        self,
        name: str,
        input: Mapping[str, Any],
        kept: Kept | None = None,
        broker: Broker | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> domain.Ran:
        """How an action ended, with the limits of a call; what its release asks for is granted, or a broker given."""
        capability, action = name.split(".")
        code = {one.filename: one for one in shipped()}[f"{capability}.py"]
        manifest = code.manifest
        declared = manifest.action(action)
        assert declared is not None
        execution = replace(
            EXECUTION,
            action=action,
            release=f"orgs/hardpoint/capabilities/{capability}/releases/{manifest.version}",
            libraries=manifest.libraries,
            input=declared.with_defaults(dict(input)),
            output_schema=declared.output_schema(),
            artifact=replace(EXECUTION.artifact, filename=code.filename),
        )
        limits = domain.Limits(wall_seconds=60, broker_calls=200).for_compute(manifest.authority)
        async with client_of({}) as client:
            usual = broker_of(client, permissions=frozenset(manifest.permissions), kept=kept)
            runner = CodeRunner(self._jails)
            heard: asyncio.Queue[domain.Event | None] = asyncio.Queue()
            program = Code("python", code.source.decode())
            return await runner.run(program, execution, settings or {}, broker or usual, limits, heard.put_nowait)


@pytest.fixture
def standard(jails: Jails) -> Standard:
    return Standard(jails)
