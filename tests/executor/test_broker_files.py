"""Temporary files and the context: outside the jail, bounded, gone with the execution, the same in both languages."""

import base64
from contextlib import nullcontext
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.brokers import URL, broker_of, client_of
from executor.conftest import SECRET, Run
from executor.upstream import Upstream, answer
from hardpoint_executor.broker.broker import Broker
from hardpoint_executor.broker.denial import BrokerDenied
from hardpoint_executor.broker.files import Files
from hardpoint_executor.broker.limits import BrokerLimits
from hardpoint_executor.domain import Finished, Outcome

BYTES = bytes(range(256)) * 5000
STORY = {
    "python": """
page = await self.fetch('https://api.example.com/big', into='big.bin')
kept = [page.status, page.file, page.body.decode()]
whole = await self.file.read('big.bin')
part = await self.file.read('big.bin', offset=255, length=3)
kind = {'content-type': 'a/b'}
sent = await self.fetch('https://other.example.com/', method='POST', body_file='big.bin', headers=kind)
await self.file.write('a.txt', 'one\\u20ac')
await self.file.write('a.txt', bytes([0, 255]), append=True)
text = list(await self.file.read('a.txt'))
listed = await self.file.list()
size = await self.file.size('a.txt')
await self.file.delete('a.txt')
left, total, context = await self.file.list(), sum(whole) % 65521, await self.context.get()
return [kept, len(whole), total, list(part), sent.status, text, listed, size, left, context]
""",
    "javascript": """
const page = await this.fetch('https://api.example.com/big', { into: 'big.bin' });
const kept = [page.status, page.file, await page.text()];
const whole = await this.file.read('big.bin');
const part = await this.file.read('big.bin', { offset: 255, length: 3 });
const headers = { 'content-type': 'a/b' };
const sent = await this.fetch('https://other.example.com/', { method: 'POST', bodyFile: 'big.bin', headers });
await this.file.write('a.txt', 'one\\u20ac');
await this.file.write('a.txt', new Uint8Array([0, 255]), { append: true });
const text = [...await this.file.read('a.txt')];
const listed = await this.file.list();
const size = await this.file.size('a.txt');
await this.file.delete('a.txt');
const left = await this.file.list();
const sum = whole.reduce((a, b) => a + b, 0) % 65521;
return [kept, whole.length, sum, [...part], sent.status, text, listed, size, left, await this.context.get()];
""",
}


@pytest.mark.jail
@pytest.mark.parametrize("language", STORY)
async def test_a_large_answer_is_kept_outside_read_in_parts_and_passed_on(run: Run, language: str) -> None:
    async with Upstream(lambda _: answer(BYTES)) as api, Upstream() as other:
        events = await run(language, STORY[language], {"api.example.com": api, "other.example.com": other})
        [received] = other.seen
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.error is None
    big = {"name": "big.bin", "size": len(BYTES)}
    text = [*"one€".encode(), 0, 255]
    context = {
        "org": "acme",
        "capability": "orgs/acme/capabilities/probe",
        "release": "orgs/acme/capabilities/probe/releases/1.0.0",
        "action": "act",
        "agent": "helper",
        "run": "orgs/acme/runs/r1",
        "execution": "e1",
    }
    told = finished.output[9]
    assert len(told.pop("seed")) == 32
    assert datetime.fromisoformat(told.pop("at")).tzinfo is not None
    assert finished.output == [
        [200, big, ""],
        len(BYTES),
        sum(BYTES) % 65521,
        [255, 0, 1],
        200,
        text,
        [{"name": "a.txt", "size": len(text)}, big],
        len(text),
        [big],
        context,
    ]
    assert (received.body, received.header("content-type")) == (BYTES, "a/b")
    assert finished.usage.broker_calls == 2


@pytest.mark.jail
@pytest.mark.parametrize("language", ["python", "javascript"])
@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", "ü€\U0001f600".encode(), b"a\xc3", b"\xed\xa0\x80\xf4\x90\x80\x80x"]
)
async def test_any_bytes_arrive_as_they_are(run: Run, language: str, body: bytes) -> None:
    code = {
        "python": "p = await self.fetch('https://api.example.com/')\nreturn [list(p.body), p.text]",
        "javascript": """
            const p = await this.fetch('https://api.example.com/');
            return [[...await p.bytes()], await p.text()];""",
    }
    async with Upstream(lambda _: answer(body)) as api:
        finished = (await run(language, code[language], {"api.example.com": api}))[-1]
    got, text = finished.output
    assert bytes(got) == body
    assert text.strip("\ufffd") == body.decode("utf-8", "replace").strip("\ufffd")


@pytest.mark.jail
@pytest.mark.parametrize("language", ["python", "javascript"])
async def test_files_end_with_their_execution(run: Run, language: str) -> None:
    write = {"python": "await self.file.write('a', 'x')", "javascript": "await this.file.write('a', 'x');"}
    read = {"python": "return await self.file.read('a')", "javascript": "return this.file.read('a');"}
    assert (await run(language, write[language], {}))[-1].error is None
    finished = (await run(language, read[language], {}))[-1]
    assert (finished.outcome, finished.error.reason) == (Outcome.USER_ERROR, "FILE_NOT_FOUND")


async def ask(broker: Broker, method: str, **arguments: Any) -> Any:
    return await broker.ask("file", method, arguments)


async def refused(broker: Broker, service: str, method: str, **arguments: Any) -> str:
    with pytest.raises(BrokerDenied) as denied:
        await broker.ask(service, method, arguments)
    return denied.value.code


async def test_files_have_bounds() -> None:
    limits = BrokerLimits(files=2, file_bytes=10, operations=8)
    async with Upstream(lambda _: answer(b"12345")) as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, limits=limits)
        await ask(broker, "write", name="a", data="123456")
        await broker.ask("fetch", "GET", {"url": URL, "into": "a"})
        await ask(broker, "write", name="b", data="12345")
        assert await refused(broker, "file", "write", name="c", data="") == "FILE_LIMIT"
        assert await refused(broker, "file", "write", name="b", data="1", append=True) == "FILE_LIMIT"
        assert await refused(broker, "fetch", "GET", url=URL, into="c") == "FILE_LIMIT"
        assert len(api.seen) == 1
        await ask(broker, "delete", name="a")
        await ask(broker, "write", name="b", data="123456")
        assert await refused(broker, "fetch", "GET", url=URL, into="c") == "RESPONSE_TOO_LARGE"
        assert await ask(broker, "list") == [{"name": "b", "size": 6}]
        await ask(broker, "size", name="b")
        assert await refused(broker, "file", "size", name="b") == "BUDGET"
        assert broker.usage.operations == 8


async def test_files_need_their_permission() -> None:
    async with Upstream() as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, permissions=frozenset({"network.http.get", "network.http.post", "file.read"}))
        assert await refused(broker, "file", "list") == "PERMISSION_NOT_GRANTED"
        assert await refused(broker, "fetch", "GET", url=URL, into="a") == "PERMISSION_NOT_GRANTED"
        assert await refused(broker, "fetch", "POST", url=URL, body_file="a") == "PERMISSION_NOT_GRANTED"
        assert api.seen == []


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("write", {"name": "../etc/passwd", "data": ""}),
        ("write", {"name": "", "data": ""}),
        ("write", {"name": "a" * 101, "data": ""}),
        ("write", {"name": "a/b", "data": ""}),
        ("write", {"name": ["a"], "data": ""}),
        ("write", {"data": ""}),
        ("write", {"name": "a"}),
        ("write", {"name": "a", "data": 5}),
        ("write", {"name": "a", "data": "\ud800"}),
        ("write", {"name": "a", "data": "!", "encoding": "base64"}),
        ("write", {"name": "a", "data": "", "encoding": "utf-16"}),
        ("read", {"name": "kept", "offset": -1}),
        ("read", {"name": "kept", "offset": 1.5}),
        ("read", {"name": "kept", "length": "all"}),
    ],
)
async def test_what_makes_no_sense_is_refused(method: str, arguments: dict[str, Any]) -> None:
    async with client_of({}) as client:
        broker = broker_of(client)
        await ask(broker, "write", name="kept", data="x")
        assert await refused(broker, "file", method, **arguments) == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("service", "method"), [("file", "rename"), ("context", "set"), ("queue", "push"), ("__proto__", "")]
)
async def test_what_is_not_there_is_refused(service: str, method: str) -> None:
    async with client_of({}) as client:
        assert await refused(broker_of(client), service, method) == "SERVICE_UNKNOWN"


async def test_a_body_is_one_of_two() -> None:
    async with client_of({}) as client:
        assert await refused(broker_of(client), "fetch", "POST", url=URL, body="x", body_file="a") == "INVALID_ARGUMENT"
        assert await refused(broker_of(client), "fetch", "POST", url=URL, body_file="a") == "FILE_NOT_FOUND"


async def test_a_file_is_sent_as_it_is_and_kept_without_secrets() -> None:
    echo = answer(b"<" + SECRET.encode() + b">")
    async with Upstream(lambda _: echo) as api, client_of({"api.example.com": api}) as client:
        broker = broker_of(client, secrets={"KEY": SECRET})
        await ask(broker, "write", name="a", data=broker.secrets.handles["KEY"])
        await broker.ask("fetch", "POST", {"url": URL, "body_file": "a", "into": "b"})
        assert api.seen[0].body.decode() == broker.secrets.handles["KEY"]
        assert (await ask(broker, "size", name="b")) == len("<[secret KEY]>")


NAMES = st.sampled_from(["a", "b.txt", "c-1", "d_2"])
STEPS = st.tuples(st.sampled_from(["write", "append", "delete", "read"]), NAMES, st.binary(max_size=30))


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, max_size=40))
def test_files_are_what_was_written_and_never_more_than_allowed(steps: list[tuple[str, str, bytes]]) -> None:
    files, model = Files(BrokerLimits(files=3, file_bytes=64)), dict[str, bytes]()
    for step, name, data in steps:
        written = {"name": name, "data": base64.b64encode(data).decode(), "encoding": "base64"}
        wanted = {**model, name: (model.get(name, b"") if step == "append" else b"") + data}
        if step == "delete":
            wanted = {other: kept for other, kept in model.items() if other != name}
        fits = len(wanted) <= 3 and sum(map(len, wanted.values())) <= 64
        allowed = name in model if step in ("read", "delete") else fits
        with nullcontext() if allowed else pytest.raises(BrokerDenied):
            if step in ("read", "delete"):
                answered = files.ask(step, {"name": name})
                assert step == "delete" or base64.b64decode(answered["data"]) == model[name]
            else:
                files.ask("write", {**written, "append": step == "append"})
        if allowed and step != "read":
            model = wanted
    assert {entry["name"]: entry["size"] for entry in files.ask("list", {})} == {n: len(d) for n, d in model.items()}
