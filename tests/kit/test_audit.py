"""An act and its event are written together, and each org reads its own."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from hardpoint.audit.v1 import audit_pb2, audit_pb2_grpc
from hardpoint_kit.audit import AuditRpc, record
from hardpoint_kit.caller import SYSTEM, Caller
from hardpoint_kit.database import Database
from hardpoint_kit.errors import InvalidArgument, NotFound, PermissionDenied
from hardpoint_kit.names import AgentName
from hardpoint_kit.unit import Unit

ADA = Caller("ada", "acme", frozenset({"admin"}), via="console")


@pytest.fixture
async def database(database_url: Any) -> AsyncIterator[Database]:
    database = Database(await database_url("kit.example"))
    yield database
    await database.close()


@pytest.fixture
async def server(database: Database, serve: Any) -> Any:
    return await serve(Unit("kit", [(audit_pb2_grpc.add_AuditServiceServicer_to_server, AuditRpc(database))]))


async def act(database: Database, caller: Caller, action: str, resource: AgentName, **facts: object) -> None:
    async with database.transaction(resource.org) as connection:
        await record(connection, caller, action, resource, **facts)


async def events(channel: Any, **query: Any) -> Any:
    return await audit_pb2_grpc.AuditServiceStub(channel).ListEvents(audit_pb2.ListEventsRequest(**query))


async def test_event_says_who_did_what(database: Database, server: Any, dial: Any, telemetry: Any) -> None:
    with telemetry.traces.get_tracer("test").start_as_current_span("act") as span:
        await act(database, ADA, "agent.create", AgentName("acme", "a"), state="ACTIVE", number=7)
    (event,) = (await events(dial(server), parent="orgs/acme")).events
    assert (event.subject, event.via, event.action, event.resource) == (
        "ada",
        "console",
        "agent.create",
        "orgs/acme/agents/a",
    )
    assert dict(event.facts) == {"state": "ACTIVE", "number": "7"}
    assert event.trace_id == f"{span.get_span_context().trace_id:032x}"
    assert event.create_time.seconds > 0


async def test_act_that_fails_leaves_no_event(database: Database, server: Any, dial: Any) -> None:
    async def fail() -> None:
        async with database.transaction("acme") as connection:
            await record(connection, ADA, "agent.create", AgentName("acme", "a"))
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert not (await events(dial(server), parent="orgs/acme")).events


async def test_orgs_read_their_own(database: Database, server: Any, dial: Any) -> None:
    await act(database, ADA, "agent.create", AgentName("acme", "a"))
    await act(database, SYSTEM(), "agent.create", AgentName("other", "b"))
    (event,) = (await events(dial(server, org="other"), parent="orgs/other")).events
    assert (event.subject, event.resource) == ("system", "orgs/other/agents/b")
    with pytest.raises(NotFound, match='org "orgs/other" not found'):
        await events(dial(server), parent="orgs/other")
    with pytest.raises(PermissionDenied):
        await events(dial(server, roles=("builder", "operator")), parent="orgs/acme")


async def test_pages_newest_first_and_by_resource(database: Database, server: Any, dial: Any) -> None:
    for number in range(5):
        await act(database, ADA, f"agent.act{number}", AgentName("acme", f"a{number % 2}"))
    channel = dial(server)
    seen: list[str] = []
    token = ""
    while True:
        page = await events(channel, parent="orgs/acme", page_size=2, page_token=token)
        seen += [event.action for event in page.events]
        token = page.next_page_token
        if not token:
            break
    assert seen == [f"agent.act{number}" for number in (4, 3, 2, 1, 0)]
    page = await events(channel, parent="orgs/acme", resource="orgs/acme/agents/a1", page_size=1)
    assert [event.action for event in page.events] == ["agent.act3"]
    with pytest.raises(InvalidArgument) as caught:
        await events(channel, parent="orgs/acme", page_token=page.next_page_token)
    assert caught.value.reason == "PAGE_TOKEN_MISMATCH"
