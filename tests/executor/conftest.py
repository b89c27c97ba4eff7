"""What the tests of the executor share: real jails, and an executor over them with a release of the test's own."""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from executor.brokers import Place, client_of
from executor.databases import org  # noqa: F401 - a fixture
from executor.kept import Kept
from executor.upstream import Upstream
from hardpoint_executor.domain import Artifact, Event, Execution, Known, Lent, Limits, Requirement
from hardpoint_executor.jail import Jails
from hardpoint_executor.peers import Values
from hardpoint_executor.service import Executor
from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.clock import SystemClock
from hardpoint_manifest.authority import Authority
from jail.conftest import jails, tier  # noqa: F401 - fixtures
from jail.programs import javascript, python

SECRET = "canary-7f3a9c51e2-do-not-sing"
HOSTS = ("api.example.com", "other.example.com")
PERMISSIONS = ("network.http.get", "network.http.post", "file.temporary", "compute.heavy")


class Registry:
    def __init__(self, data: bytes) -> None:
        self.data = data

    async def read(self, digest: str, ticket: str) -> bytes:
        return self.data


class Config:
    async def redeem(self, token: str) -> Values:
        return Values({}, {"API_KEY": SECRET}, datetime.now(UTC) + timedelta(minutes=1))


Run = Callable[..., Awaitable[list[Event]]]


@pytest.fixture
def run(jails: Jails) -> Run:  # noqa: F811
    """Run the body of an action (or a manifest) against upstreams by host; the events, Finished last."""

    async def run_it(
        language: str,
        body: str | dict[str, Any],
        upstreams: Mapping[str, Upstream | Place],
        *,
        granted: Authority | None = None,
        asked: Authority | None = None,
        secret_hosts: tuple[str, ...] = ("api.example.com",),
        input: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
        kept: Kept | None = None,
        engine: str = "",
        oversize: bool = False,
        known: Known | None = None,
        output_schema: Mapping[str, Any] | None = None,
    ) -> list[Event]:
        if isinstance(body, dict):
            data, filename, action = json.dumps({"capability": body}).encode(), "probe.json", "get"
        else:
            call = (python if language == "python" else javascript)(body)
            data, filename, action = call.source.encode(), call.filename, call.action
        everything = Authority.of(PERMISSIONS, HOSTS)
        execution = Execution(
            org="acme",
            id="e1",
            release="orgs/acme/capabilities/probe/releases/1.0.0",
            artifact=Artifact("sha256:0", filename, "ticket"),
            action=action,
            output_schema=output_schema or {},
            input=input or {},
            authority=granted or everything,
            lease_token="lease",
            requirements=(Requirement("API_KEY", True, None, frozenset(secret_hosts), "/config/API_KEY"),),
            limits=limits or Limits(),
            agent="helper",
            run="orgs/acme/runs/r1",
            asked=asked or everything,
            files=kept.lent() if kept else Lent(),
            engine=engine,
            oversize_to_file=oversize,
            known=known or Known(),
        )
        async with client_of(upstreams) as http:
            executor = Executor(Registry(data), Config(), jails, http, SystemClock(), Limits(), files=kept or Kept())
            return [event async for event in executor.execute(SYSTEM("acme"), execution)]

    return run_it
