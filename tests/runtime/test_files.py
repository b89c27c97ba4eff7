"""The stored files of a call: handles where the input has files, tickets for exactly those, and nobody else's."""

from dataclasses import replace
from typing import Any

import pytest

from hardpoint.manifest.v1.manifest_pb2 import Authority as Grants
from hardpoint.runtime.v1 import agent_pb2
from hardpoint_kit.errors import InvalidArgument, Unavailable
from hardpoint_manifest.authority import Authority
from hardpoint_manifest.model import FILE_SCHEMA
from hardpoint_runtime.domain.executions import Ended, Execution, Lent, SaveLimits
from runtime.conftest import AGENT, Client, Fakes, Query
from runtime.factories import action, release
from runtime.fakes import succeed

MINE, OTHER = "orgs/acme/files/mine", "orgs/acme/files/other"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "invoice": {**FILE_SCHEMA, "description": "An invoice"},
        "more": {"type": "array", "items": FILE_SCHEMA},
        "note": {"type": "string"},
        "any": {},
    },
    "additionalProperties": False,
}
UNTIL = "2030-01-31T08:00:00Z"
NOTHING, ALL = SaveLimits(0, 0), SaveLimits(16, 32 * 1024 * 1024)


@pytest.fixture
async def reader(client: Client, fakes: Fakes) -> Client:
    """An admin whose agent has the action `weather.read`, which takes files and saves none."""
    await attach(client, fakes, "file.read")
    fakes.files.add(MINE)
    return client


async def attach(client: Client, fakes: Fakes, *permissions: str) -> None:
    asks = Authority(frozenset(permissions), frozenset())
    fakes.registry.add(release(actions=(action("read", SCHEMA),), asks=asks))
    await client.create_agent()
    await client.install(grants=Grants(permissions=permissions))
    await client.attach()


async def test_the_ticket_is_for_exactly_the_files_of_the_input(reader: Client, fakes: Fakes) -> None:
    other = fakes.files.add(OTHER, "b.pdf")
    await reader.call("weather.read", invoice={"id": MINE}, more=[{"id": OTHER}, {"id": MINE}])
    (execution,) = fakes.executor.executions
    assert fakes.files.tickets == [(str(execution.run), [MINE, OTHER], NOTHING)]
    assert execution.files == Lent("files-1", (fakes.files.handles[MINE], other))


async def test_a_handle_is_what_its_file_is_and_not_what_the_input_says(reader: Client, fakes: Fakes) -> None:
    await reader.call("weather.read", invoice={"id": MINE, "name": "x.exe", "type": "text/html", "size": 9})
    assert fakes.executor.executions[0].input == {"invoice": fakes.files.handles[MINE]}


async def test_a_handle_anywhere_else_is_data(reader: Client, fakes: Fakes) -> None:
    await reader.call("weather.read", note=MINE, any={"id": MINE})
    (execution,) = fakes.executor.executions
    assert fakes.files.tickets == []
    assert execution.files == Lent()
    assert execution.input == {"note": MINE, "any": {"id": MINE}}


@pytest.mark.parametrize(
    "stranger", ["orgs/globex/files/mine", "orgs/acme/files/guessed", "mine", "orgs/acme/secrets/mine", "../mine"]
)
async def test_what_is_no_file_of_the_org_is_refused_by_place(
    reader: Client, fakes: Fakes, query: Query, stranger: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await reader.call("weather.read", invoice={"id": MINE}, more=[{"id": MINE}, {"id": stranger}])
    assert refused.value.reason == "FILE_UNKNOWN"
    assert list(refused.value.violations) == ["input.more[1]"]
    assert refused.value.place == "input.more[1]"
    assert "hardpoint file upload" in refused.value.fix
    assert fakes.executor.executions == []
    assert await query("SELECT 1 FROM runs") == [], "a call that is refused leaves no run"


async def test_a_file_that_expired_is_refused_by_place_and_says_since_when(reader: Client, fakes: Fakes) -> None:
    fakes.files.expired[OTHER] = UNTIL
    with pytest.raises(InvalidArgument) as refused:
        await reader.call("weather.read", invoice={"id": MINE}, more=[{"id": OTHER}])
    assert (refused.value.reason, refused.value.place) == ("FILE_EXPIRED", "input.more[0]")
    assert refused.value.metadata["expire_time"] == UNTIL
    assert UNTIL in refused.value.message
    assert refused.value.fix == "again"
    assert fakes.executor.executions == []


async def test_a_handle_says_until_when_its_file_is_kept(reader: Client, fakes: Fakes) -> None:
    until = {**fakes.files.handles[MINE], "expire_time": UNTIL}
    fakes.files.handles[MINE] = until
    await reader.call("weather.read", invoice={"id": MINE, "expire_time": "whatever the input says"})
    assert fakes.executor.executions[0].input == {"invoice": until}


async def test_too_many_files_are_refused(reader: Client, fakes: Fakes) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await reader.call("weather.read", more=[{"id": MINE}] * 101)
    assert "at most 100" in refused.value.message
    assert fakes.files.tickets == []


async def test_who_may_save_has_a_ticket_to_save(client: Client, fakes: Fakes) -> None:
    await attach(client, fakes, "file.write")
    await client.call("weather.read", note="x")
    (execution,) = fakes.executor.executions
    assert fakes.files.tickets == [(str(execution.run), [], ALL)]
    assert execution.files == Lent("files-1")


async def test_files_that_are_away_are_said_to_be(reader: Client, fakes: Fakes) -> None:
    async def away(*_: Any) -> Lent:
        raise Unavailable("files are away")

    fakes.files.ticket = away  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await reader.call("weather.read", invoice={"id": MINE})
    await reader.call("weather.read", note="without files all goes on")


async def test_an_output_that_is_too_large_is_stored_when_the_call_says_so(reader: Client, fakes: Fakes) -> None:
    async def stores(execution: Execution) -> Ended:
        return replace(await succeed(execution), output_in_file=execution.oversize_to_file)

    fakes.executor.behave = stores
    request = agent_pb2.CallActionRequest(agent=AGENT, action="weather.read")
    assert not (await reader.agents.CallAction(request)).output_in_file
    assert fakes.files.tickets == []
    request.oversize = agent_pb2.OVERSIZE_FILE
    assert (await reader.agents.CallAction(request)).output_in_file
    ((_, names, save),) = fakes.files.tickets
    assert (names, save) == ([], ALL)
