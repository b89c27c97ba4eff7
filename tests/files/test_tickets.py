"""What an execution may do with its ticket, and nothing more: its own files, its own bounds, for minutes."""

import asyncio
import base64
import json

import pytest

from files.client import PDF, Client, digest_of
from files.conftest import Dial
from hardpoint_kit.errors import HardpointError, InvalidArgument, NotFound, ResourceExhausted, Unauthenticated
from serving import SetClock


async def test_a_ticket_opens_its_files_and_no_others(operator: Client, runtime: Client, dial: Dial) -> None:
    mine, other = await operator.upload(PDF * 3), await operator.upload(b"other")
    foreign = await dial("globex").upload(b"foreign")
    ticket = await runtime.ticket(mine.name)
    assert list(ticket.files) == [mine]
    assert await runtime.open(mine.name, ticket.ticket) == PDF * 3
    assert await runtime.open(mine.name, ticket.ticket, 5, 10) == (PDF * 3)[5:15]
    assert await runtime.open(mine.name, ticket.ticket, 10_000) == b""
    for name in (other.name, foreign.name, "orgs/acme/files/" + "a" * 26):
        with pytest.raises(NotFound) as refused:
            await runtime.open(name, ticket.ticket)
        assert refused.value.metadata["resource"] == name, "as if it did not exist"


async def test_a_ticket_is_made_for_files_that_are_there(operator: Client, runtime: Client, dial: Dial) -> None:
    mine = await operator.upload(PDF)
    foreign = await dial("globex").upload(PDF)
    for missing in (foreign.name, "orgs/acme/files/" + "a" * 26):
        with pytest.raises(NotFound) as refused:
            await runtime.ticket(mine.name, missing)
        assert refused.value.metadata["resource"] == missing


async def test_a_ticket_is_good_for_minutes(operator: Client, runtime: Client, clock: SetClock) -> None:
    file = await operator.upload(PDF)
    ticket = (await runtime.ticket(file.name)).ticket
    clock.move(minutes=9)
    assert await runtime.open(file.name, ticket) == PDF
    clock.move(minutes=1)
    for asked in (runtime.open(file.name, ticket), runtime.save(ticket, b"x")):
        with pytest.raises(Unauthenticated) as refused:
            await asked
        assert refused.value.reason == "TICKET_INVALID"


async def test_a_ticket_that_was_written_by_somebody_else_is_none(operator: Client, runtime: Client) -> None:
    file, other = await operator.upload(PDF), await operator.upload(b"other")
    what, _, proof = (await runtime.ticket(file.name)).ticket.partition(".")
    said = json.loads(base64.urlsafe_b64decode(what))
    forged = base64.urlsafe_b64encode(json.dumps({**said, "opens": [other.name.rpartition("/")[2]]}).encode()).decode()
    for ticket in (f"{forged}.{proof}", f"{what}.", f"{what}.{proof[:-1]}", "x", ".", what):
        for asked in (runtime.open(other.name, ticket), runtime.save(ticket, b"x")):
            with pytest.raises(Unauthenticated) as refused:
                await asked
            assert refused.value.reason == "TICKET_INVALID"


async def test_what_an_execution_saves_is_its_runs(operator: Client, runtime: Client, clock: SetClock) -> None:
    ticket = (await runtime.ticket()).ticket
    saved = await runtime.save(ticket, b"a,b\n", "rows.csv")
    assert (saved.run, saved.type, saved.digest) == ("orgs/acme/runs/r1", "text/csv", digest_of(b"a,b\n"))
    assert await runtime.open(saved.name, ticket) == b"a,b\n"
    assert await operator.read(saved.name) == b"a,b\n"
    assert await operator.names(run="orgs/acme/runs/r1") == ["rows.csv"]

    another = (await runtime.ticket(run="r2", execution="e2")).ticket
    with pytest.raises(NotFound):
        await runtime.open(saved.name, another)

    clock.move(days=29)
    assert (await operator.get(saved.name)).name == saved.name
    clock.move(days=1, seconds=1)
    with pytest.raises(NotFound):
        await operator.get(saved.name)


async def test_an_execution_saves_as_much_as_its_ticket_says(runtime: Client) -> None:
    with pytest.raises(ResourceExhausted):
        await runtime.save((await runtime.ticket(save_files=0, save_bytes=0)).ticket, b"")
    ticket = (await runtime.ticket()).ticket
    with pytest.raises(ResourceExhausted) as refused:
        await runtime.save(ticket, b"x" * 1001)
    assert refused.value.reason == "FILE_SAVE_LIMIT"

    async def one(number: int) -> str:
        try:
            # A second ticket for the same execution is no second allowance.
            await runtime.save((await runtime.ticket()).ticket, b"x" * 400, f"{number}")
        except HardpointError as error:
            return error.reason
        return "kept"

    assert sorted(await asyncio.gather(*map(one, range(8)))) == ["FILE_SAVE_LIMIT"] * 6 + ["kept"] * 2
    assert (await runtime.save((await runtime.ticket(execution="e2")).ticket, b"x" * 1000)).size_bytes == 1000


async def test_what_an_execution_saves_keeps_to_the_rules_of_uploads(runtime: Client) -> None:
    ticket = (await runtime.ticket()).ticket
    for changes in ({"name": "../x"}, {"digest": digest_of(b"y")}, {"size_bytes": 2}):
        with pytest.raises(InvalidArgument):
            await runtime.save(ticket, b"x", **changes)
    assert (await runtime.save(ticket, PDF, "x.txt", type="text/plain")).type == "application/pdf"
