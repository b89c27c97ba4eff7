"""Stored files of an execution: what it was given and what it makes, bounded, the same in every engine."""

import asyncio
import base64
from typing import Any

import pytest

from executor.brokers import broker_of, client_of
from executor.conftest import PERMISSIONS, SECRET, Run
from executor.kept import UNTIL, Kept
from executor.upstream import Upstream, answer
from hardpoint_executor.broker.broker import Broker
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.limits import BrokerLimits
from hardpoint_executor.domain import Lent, Outcome
from hardpoint_kit.errors import (
    HardpointError,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from hardpoint_manifest.authority import Authority

LARGE = bytes(range(256)) * 5000
GRANTED = Authority.of((*PERMISSIONS, "file.read", "file.write"), ("api.example.com",))
STORY = {
    "python": """
[handle] = await self.file.list(stored=True)
whole = await self.file.open(handle)
part = await self.file.open(handle, offset=255, length=3)
none = await self.file.open(handle['id'], offset=len(whole))
big = await self.file.save('big.bin', whole, 'text/plain')
text = await self.file.save('a.txt', 'one\\u20ac', type='text/csv', expires_in=60)
again = await self.file.open(text)
kept = await self.file.open(text, into='tmp.txt')
await self.file.write('tmp.txt', '!', append=True)
copied = await self.file.save('copy.txt', from_file='tmp.txt', expires_in=2592000)
names = [each['name'] for each in await self.file.list(stored=True)]
return [sum(whole) % 65521, list(part), len(none), big, list(again), kept, copied['size'], names, text['expire_time']]
""",
    "javascript": """
const [handle] = await this.file.list({ stored: true });
const whole = await this.file.open(handle);
const part = await this.file.open(handle, { offset: 255, length: 3 });
const none = await this.file.open(handle.id, { offset: whole.length });
const big = await this.file.save('big.bin', whole, 'text/plain');
const text = await this.file.save('a.txt', 'one\\u20ac', 'text/csv', { expiresIn: 60 });
const again = await this.file.open(text);
const kept = await this.file.open(text, { into: 'tmp.txt' });
await this.file.write('tmp.txt', '!', { append: true });
const copied = await this.file.save('copy.txt', undefined, undefined, { fromFile: 'tmp.txt', expiresIn: 2592000 });
const names = (await this.file.list({ stored: true })).map((each) => each.name);
const sum = whole.reduce((a, b) => a + b, 0) % 65521;
return [sum, [...part], none.length, big, [...again], kept, copied.size, names, text.expire_time];
""",
}


@pytest.mark.jail
@pytest.mark.parametrize(
    ("tier", "language", "engine"),
    [
        ("single-use", "python", ""),
        ("single-use", "javascript", "node"),
        ("slots", "python", ""),
        ("slots", "javascript", "quickjs"),
    ],
    indirect=["tier"],
)
async def test_what_was_given_is_opened_and_what_is_made_is_saved(run: Run, language: str, engine: str) -> None:
    kept = Kept(given=LARGE)
    finished = (await run(language, STORY[language], {}, kept=kept, granted=GRANTED, engine=engine))[-1]
    assert finished.error is None, finished.error
    first = "orgs/acme/files/saved0"
    assert finished.output == [
        sum(LARGE) % 65521,
        [255, 0, 1],
        0,
        {"id": first, "name": "big.bin", "type": "text/plain", "size": len(LARGE)},
        list("one€".encode()),
        {"name": "tmp.txt", "size": 6},
        7,
        ["given", "big.bin", "a.txt", "copy.txt"],
        UNTIL,
    ]
    assert kept.expiring == {"orgs/acme/files/saved1": 60, "orgs/acme/files/saved2": 2_592_000}
    assert list(kept.saved.values()) == [
        ("big.bin", "text/plain", LARGE),
        ("a.txt", "text/csv", "one€".encode()),
        ("copy.txt", "", "one€!".encode()),
    ]
    assert max(length for _, _, length in kept.opened) <= 4 * 1024 * 1024 + 1
    assert {"file.read", "file.write", "file.temporary"} <= finished.used.permissions


@pytest.mark.jail
@pytest.mark.parametrize("language", ["python", "javascript"])
async def test_an_id_that_was_not_given_opens_nothing(run: Run, language: str) -> None:
    code = {
        "python": "return len(await self.file.open('orgs/acme/files/another'))",
        "javascript": "return (await this.file.open('orgs/acme/files/another')).length;",
    }
    finished = (await run(language, code[language], {}, kept=Kept(given=b"x"), granted=GRANTED))[-1]
    assert (finished.outcome, finished.error.reason) == (Outcome.DENIED, "FILE_NOT_GIVEN")
    assert finished.error.fix
    assert finished.error.metadata["file"] == "orgs/acme/files/another"


@pytest.mark.jail
@pytest.mark.parametrize("tier", ["slots"], indirect=True)
async def test_answers_that_the_jail_does_not_take_are_few(run: Run) -> None:
    class Counting(Kept):
        """Opens in rounds: a round begins when sixteen are asked for at once, and nobody else is in it."""

        def __init__(self) -> None:
            super().__init__(given=LARGE)
            self.round = asyncio.Barrier(16)
            self.inside = self.most = 0

        async def open(self, *asked: Any) -> tuple[bytes, int]:
            self.inside += 1
            self.most = max(self.most, self.inside)
            await self.round.wait()
            self.inside -= 1
            return await super().open(*asked)

    kept = Counting()
    body = """
import asyncio
[handle] = await self.file.list(stored=True)
parts = await asyncio.gather(*(self.file.open(handle, offset=n, length=1) for n in range(64)))
return list(b"".join(parts))
"""
    finished = (await run("python", body, {}, kept=kept, granted=GRANTED))[-1]
    assert finished.output == list(LARGE[:64])
    assert kept.most == 16


async def ask(broker: Broker, method: str, **arguments: Any) -> Any:
    return await broker.ask("file", method, arguments)


async def refused(broker: Broker, method: str, **arguments: Any) -> str:
    with pytest.raises(BrokerDenied) as denied:
        await ask(broker, method, **arguments)
    assert denied.value.message
    return denied.value.code


async def test_each_needs_its_permission() -> None:
    async with client_of({}) as client:
        kept = Kept(given=b"x")
        reads = broker_of(client, permissions=frozenset({"file.read"}), kept=kept)
        assert base64.b64decode((await ask(reads, "open", file="orgs/acme/files/given"))["data"]) == b"x"
        assert len(await ask(reads, "list", stored=True)) == 1
        assert await refused(reads, "save", name="a", data="") == "PERMISSION_NOT_GRANTED"
        assert await refused(reads, "list") == "PERMISSION_NOT_GRANTED"
        assert await refused(reads, "open", file="orgs/acme/files/given", into="a") == "PERMISSION_NOT_GRANTED"
        writes = broker_of(client, permissions=frozenset({"file.write"}), kept=kept)
        assert (await ask(writes, "save", name="a", data=""))["size"] == 0
        assert await refused(writes, "open", file="orgs/acme/files/given") == "PERMISSION_NOT_GRANTED"
        assert await refused(writes, "list", stored=True) == "PERMISSION_NOT_GRANTED"
        assert await refused(writes, "save", name="a", from_file="a") == "PERMISSION_NOT_GRANTED"
        assert (reads.usage.permissions, writes.usage.permissions) == ({"file.read"}, {"file.write"})


async def test_without_a_ticket_nothing_is_asked() -> None:
    async with client_of({}) as client:
        kept = Kept(given=b"x")
        broker = broker_of(client, kept=kept, lent=Lent())
        assert await refused(broker, "open", file="orgs/acme/files/given") == "FILE_NOT_GIVEN"
        assert await refused(broker, "save", name="a", data="") == "FILE_SAVE_LIMIT"
        assert await ask(broker, "list", stored=True) == []
        assert kept.opened == []


async def test_saving_has_bounds() -> None:
    limits = BrokerLimits(saved_files=3, saved_bytes=10)
    async with client_of({}) as client:
        kept = Kept()
        broker = broker_of(client, limits=limits, kept=kept)
        begun = await ask(broker, "save", name="a", data="1234", more=True)
        assert kept.saved == {}
        assert await refused(broker, "save", name="b", data="1234567") == "FILE_SAVE_LIMIT"
        assert (await ask(broker, "save", **begun, data="56"))["size"] == 6
        assert await refused(broker, "save", **begun, data="7") == "INVALID_ARGUMENT"
        await ask(broker, "write", name="t", data="12345")
        assert await refused(broker, "save", name="c", from_file="t") == "FILE_SAVE_LIMIT"
        assert await refused(broker, "save", name="d", data="") == "FILE_SAVE_LIMIT"
        assert [data for _, _, data in kept.saved.values()] == [b"123456"]


async def test_a_file_too_large_for_a_temporary_one_is_not_fetched_whole() -> None:
    async with client_of({}) as client:
        kept = Kept(given=b"x" * 1000)
        broker = broker_of(client, limits=BrokerLimits(file_bytes=10), kept=kept)
        assert await refused(broker, "open", file="orgs/acme/files/given", into="a") == "FILE_LIMIT"
        assert kept.opened == [("orgs/acme/files/given", 0, 11)]


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("open", {}),
        ("open", {"file": 5}),
        ("open", {"file": ""}),
        ("open", {"file": {}}),
        ("open", {"file": {"id": ["x"]}}),
        ("open", {"file": "x" * 257}),
        ("open", {"file": "orgs/acme/files/given", "offset": -1}),
        ("open", {"file": "orgs/acme/files/given", "offset": 2**63}),
        ("open", {"file": "orgs/acme/files/given", "length": "all"}),
        ("open", {"file": "orgs/acme/files/given", "into": "../x"}),
        ("open", {"file": "orgs/acme/files/given", "into": 5}),
        ("save", {"name": 5, "data": ""}),
        ("save", {"name": "a", "type": 5, "data": ""}),
        ("save", {"name": "a", "type": "x" * 201, "data": ""}),
        ("save", {"name": "a"}),
        *(("save", {"name": "a", "data": "", "expires_in": wrong}) for wrong in (0, -1, 2_592_001, 1.5, "60", True)),
        ("save", {"name": "a", "data": "!", "encoding": "base64"}),
        ("save", {"saving": 1, "data": ""}),
        ("save", {"saving": "1", "data": ""}),
    ],
)
async def test_what_makes_no_sense_is_refused(method: str, arguments: dict[str, Any]) -> None:
    async with client_of({}) as client:
        assert await refused(broker_of(client, kept=Kept(given=b"x")), method, **arguments) == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (InvalidArgument("no", reason="FILE_NAME_INVALID"), "FILE_NAME_INVALID"),
        (ResourceExhausted("full", reason="FILE_QUOTA"), "FILE_QUOTA"),
        (ResourceExhausted("enough", reason="FILE_SAVE_LIMIT"), "FILE_SAVE_LIMIT"),
        (Unavailable("away"), "FILES_UNAVAILABLE"),
        (Unauthenticated("old", reason="TICKET_INVALID"), "FILES_UNAVAILABLE"),
    ],
)
async def test_what_the_unit_of_files_says_is_passed_on(raised: HardpointError, code: str) -> None:
    class Refusing(Kept):
        async def save(self, *_: Any) -> Any:
            raise raised

    async with client_of({}) as client:
        assert await refused(broker_of(client, kept=Refusing(given=b"x")), "save", name="a", data="") == code


async def test_in_how_many_seconds_a_file_expires_is_said_with_its_first_part() -> None:
    async with client_of({}) as client:
        kept = Kept()
        broker = broker_of(client, kept=kept)
        begun = await ask(broker, "save", name="a", data="12", more=True, expires_in=60)
        handle = await ask(broker, "save", **begun, data="34", expires_in=7)
        assert (handle["size"], handle["expire_time"]) == (4, UNTIL)
        assert "expire_time" not in await ask(broker, "save", name="b", data="", expires_in=None)
        assert list(kept.expiring.values()) == [60]


async def test_a_file_that_expired_is_said_to_have() -> None:
    class Over(Kept):
        async def open(self, ticket: str, file: str, offset: int, length: int) -> Any:
            facts = {"expire_time": UNTIL}
            raise NotFound("file", file, message=f"expired at {UNTIL}", reason="FILE_EXPIRED", fix="f", **facts)

    async with client_of({}) as client:
        broker = broker_of(client, kept=Over(given=b"x"))
        with pytest.raises(BrokerDenied) as denied:
            await ask(broker, "open", file="orgs/acme/files/given")
        assert (denied.value.code, denied.value.message) == (DenialCode.FILE_EXPIRED, f"expired at {UNTIL}")
        assert denied.value.facts == {"file": "orgs/acme/files/given", "expire_time": UNTIL}
        assert denied.value.fix == "f"


async def test_a_secret_is_not_saved() -> None:
    echo = answer(b"hello")
    async with Upstream(lambda _: echo) as api, client_of({"api.example.com": api}) as client:
        kept = Kept()
        broker = broker_of(client, secrets={"KEY": SECRET}, kept=kept)
        await broker.ask("fetch", "GET", {"url": "https://api.example.com/"})
        spelled = base64.b64encode(SECRET.encode()).decode()
        for name, data in (("a", f"<{SECRET}>"), ("a", f"x{spelled}x"), (SECRET, "x")):
            assert await refused(broker, "save", name=name, data=data) == "OUTPUT_HOLDS_SECRET"
        half = await ask(broker, "save", name="a", data=SECRET[:9], more=True)
        assert await refused(broker, "save", **half, data=SECRET[9:]) == "OUTPUT_HOLDS_SECRET"
        await ask(broker, "save", name="a", data="harmless")
        assert [data for _, _, data in kept.saved.values()] == [b"harmless"]
