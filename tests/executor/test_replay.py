"""Recorded executions run again without the outside, and give the same bytes."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from executor.brokers import client_of
from executor.composed import World, javascript, python
from executor.kept import TICKET, UNTIL, Kept
from executor.spellings import ENCODINGS
from executor.test_flows import api, code, flow
from executor.upstream import Seen, Upstream, answer, json_answer
from hardpoint_executor.broker.outlet import Outlet
from hardpoint_executor.broker.scrub import Watched
from hardpoint_executor.domain import UNKNOWN, Execution, Finished, Known, Lent, Limits, Outcome, Requirement, Usage
from hardpoint_executor.jail import JailOptions, Jails
from hardpoint_executor.peers import Values
from hardpoint_executor.service import Executor
from hardpoint_executor.taping import Session, cassette_of
from hardpoint_executor.taping import recorded as record
from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.errors import InvalidArgument, NotFound
from hardpoint_manifest.authority import Authority
from hardpoint_manifest.cassette import read, write

pytestmark = pytest.mark.jail

HOST = "api.example.com"
SECRET = "canary-5e1f0c77d2-do-not-sing"
WIDE = Authority(
    frozenset({"network.http.get", "network.http.post", "compute.moderate", "file.temporary"}), frozenset({HOST})
)
NEEDS = (Requirement("API_KEY", True, None, frozenset({HOST}), "/config/API_KEY"), Requirement("UNIT", False, "C"))

WIDELY = Limits(broker_calls=100)


class Outside:
    """Counts who came, and answers something else each time."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.say: Any = lambda seen, number: json_answer({"path": seen.target, "number": number, "ratio": 1.0})

    def __call__(self, seen: Seen) -> bytes:
        self.seen.append(seen)
        return self.say(seen, len(self.seen))


@pytest.fixture(scope="module")
async def jails() -> AsyncIterator[Jails]:
    started = Jails(JailOptions())
    await started.start()
    assert started.reasons_not_ready() == []
    yield started
    await started.stop()


@pytest.fixture
def outside() -> Outside:
    return Outside()


class Runs:
    """Records with an outside, replays without one, in executors that know nothing of each other."""

    def __init__(self, jails: Jails, outside: Outside) -> None:
        self.jails, self.outside, self.world = jails, outside, World()
        self.world.leases["lease"] = Values({"UNIT": "F"}, {"API_KEY": SECRET}, datetime.now(UTC) + timedelta(hours=1))

    def execution(self, source: str, **more: Any) -> Execution:
        more = {"authority": WIDE, "requirements": NEEDS, "lease_token": "lease", **more}
        return self.world.add(more.pop("capability", "probe"), source, **more)

    async def record(self, execution: Execution, kept: Kept | None = None) -> Finished:
        async with Upstream(self.outside) as upstream, client_of({HOST: upstream}) as http:
            executor = Executor(self.world, self.world, self.jails, http, SystemClock(), WIDELY, files=kept or Kept())
            return await executor.execute_to_end(SYSTEM("acme"), replace(execution, record=True))

    async def replay(self, execution: Execution, cassette: bytes) -> Finished:
        """Nobody answers, there is no lease, and the run has another name."""
        nobody = World(self.world.sources)
        async with client_of({}) as http:
            executor = Executor(nobody, nobody, self.jails, http, SystemClock(), WIDELY, files=Kept())
            again = replace(
                execution, id="e2", run="orgs/acme/runs/r2", idempotency_key="other", cassette=cassette_of(cassette)
            )
            return await executor.execute_to_end(SYSTEM("acme"), again)


@pytest.fixture
def runs(jails: Jails, outside: Outside) -> Runs:
    return Runs(jails, outside)


PYTHON = """
first, second = await asyncio.gather(self.fetch("https://api.example.com/a"), self.fetch("https://api.example.com/b"))
sent = await self.fetch("https://api.example.com/c", method="POST", headers={"authorization": self.config["API_KEY"]},
                        body={"x": [1, 2.0, None, "é\\u2028"]})
try:
    await self.fetch("https://evil.example.com/")
except Exception as error:
    refused = str(error)
known = await self.context.get()
return {"texts": [first.text, second.text, sent.text], "refused": refused, "known": known, "order": list(sent.headers),
        "key": self.config["API_KEY"], "unit": self.config["UNIT"]}
"""
JAVASCRIPT = """
const [first, second] = await Promise.all([this.fetch("https://api.example.com/a"), this.fetch("https://api.example.com/a")]);
return { texts: [await first.text(), await second.text()], known: await this.context.get(), key: this.config.API_KEY };
"""


def http(**words: Any) -> str:
    call = {"type": "api", "endpoint": f"https://{HOST}/v1?q=${{input.q}}", "method": "GET", **words}
    call["headers"] = {"Authorization": "Bearer ${API_KEY}"}
    action = {"id": "run", "name": "Run", "inputs": [{"name": "q", "type": "string"}], "integration": call}
    config = [{"key": "API_KEY", "label": "Key", "type": "secret", "required": True}]
    head = {"id": "probe", "version": "1.0.0", "name": "Probe", "permissions": ["network.http.get"]}
    return json.dumps({"capability": {**head, "actions": [action], "configuration": config}})


FLOW = flow(
    api("one", integration={"headers": {"x-key": "${API_KEY}"}}),
    code(
        "two", "answer = await self.fetch('https://api.example.com/two')\nreturn {'one': input, 'two': answer.json()}"
    ),
    id="probe",
    configuration=[{"key": "API_KEY", "label": "Key", "type": "secret", "required": True}],
    permissions=["network.http.get", "compute.moderate"],
    hosts=[HOST],
)


@pytest.mark.parametrize(
    ("source", "more"),
    [
        pytest.param("import asyncio\n" + python(PYTHON), {}, id="python"),
        pytest.param(javascript(JAVASCRIPT), {"ext": "js"}, id="node"),
        pytest.param(javascript(JAVASCRIPT), {"ext": "js", "engine": "quickjs"}, id="quickjs"),
        pytest.param(http(), {"ext": "json", "input": {"q": "a b"}}, id="http"),
        pytest.param(FLOW, {"ext": "json", "input": {"n": 1}}, id="flow"),
    ],
)
async def test_a_recorded_execution_gives_the_same_bytes_without_the_outside(
    runs: Runs, outside: Outside, source: str, more: Mapping[str, Any]
) -> None:
    execution = runs.execution(source, **more)
    recorded = await runs.record(execution)
    assert recorded.error is None, recorded.error
    assert recorded.cassette
    assert SECRET not in recorded.cassette.decode()
    assert write(read(recorded.cassette)) == recorded.cassette
    came = len(outside.seen)
    assert came
    replayed = await runs.replay(execution, recorded.cassette)
    assert replayed.error is None, replayed.error
    assert json.dumps(replayed.output) == json.dumps(recorded.output)
    assert len(outside.seen) == came
    assert replayed.used.hosts == recorded.used.hosts
    timed = {"compute.light", "compute.moderate", "compute.heavy"}  # which of them is a matter of the machine
    assert replayed.used.permissions - timed == recorded.used.permissions - timed


async def recorded(runs: Runs, source: str, **more: Any) -> tuple[Execution, bytes]:
    execution = runs.execution(source, **more)
    finished = await runs.record(execution)
    assert finished.cassette, finished.error
    return execution, finished.cassette


FETCHES = python("""
answers = []
for path in input["paths"]:
    try:
        answers.append((await self.fetch("https://api.example.com" + path)).text)
    except Exception as error:
        answers.append(str(error))
return answers
""")


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (
            ["/a", "/x"],
            'call 2 asks fetch.GET {"headers": {}, "url": "https://api.example.com/x"}; recorded is call 2,',
        ),
        (["/a", "/b", "/b"], "recorded is no further call"),
        (["/a"], "call 2 was recorded and not made: fetch.GET"),
    ],
)
async def test_a_call_that_differs_fails_and_is_named_although_the_code_caught_it(
    runs: Runs, paths: list[str], said: str
) -> None:
    execution, cassette = await recorded(runs, FETCHES, input={"paths": ["/a", "/b"]})
    finished = await runs.replay(replace(execution, input={"paths": paths}), cassette)
    assert finished.error is not None
    assert finished.error.reason == "REPLAY_DIVERGED"
    assert said in finished.error.message
    assert "--record" in finished.error.fix


async def test_a_cassette_permits_nothing(runs: Runs) -> None:
    """Its calls are those of a release that asked for more; the one that replays it does not."""
    execution, cassette = await recorded(runs, FETCHES, input={"paths": ["/a"]})
    narrow = Authority(frozenset({"compute.moderate"}), WIDE.hosts)
    finished = await runs.replay(replace(execution, authority=narrow), cassette)
    assert finished.error is not None
    assert finished.error.reason == "REPLAY_DIVERGED"
    uncaught = python('return (await self.fetch("https://api.example.com/a")).text')
    execution, cassette = await recorded(runs, uncaught, capability="plain")
    elsewhere = Authority(WIDE.permissions, frozenset())
    for authority, reason in ((narrow, "PERMISSION_NOT_GRANTED"), (elsewhere, "HOST_NOT_GRANTED")):
        document = read(cassette).model_copy(update={"calls": ()})
        finished = await runs.replay(replace(execution, authority=authority), write(document))
        assert finished.error is not None
        assert finished.error.reason == reason


EXPIRING = """
saved = await self.file.save("a.txt", "hello", expires_in=input["seconds"])
try:
    await self.file.open(saved)
except Exception as error:
    return [saved, str(error), await self.context.files()]
"""


async def test_a_file_that_expires_comes_back_as_it_was(runs: Runs) -> None:
    class Over(Kept):
        async def open(self, ticket: str, file: str, offset: int, length: int) -> Any:
            raise NotFound("file", file, message=f"expired at {UNTIL}", reason="FILE_EXPIRED")

    authority = Authority(WIDE.permissions | {"file.read", "file.write", "context.files"}, WIDE.hosts)
    handle = {"id": "orgs/acme/files/a", "name": "a", "type": "text/plain", "size": 1, "expire_time": UNTIL}
    known = Known(files=(handle,))
    call = runs.execution(
        python(EXPIRING), authority=authority, asked=authority, input={"seconds": 60}, known=known, files=Lent(TICKET)
    )
    finished = await runs.record(call, Over())
    saved, said, files = finished.output
    assert (saved["expire_time"], files[0]["expire_time"]) == (UNTIL, UNTIL)
    assert f"expired at {UNTIL}" in said
    again = await runs.replay(replace(call, known=UNKNOWN, files=Lent()), finished.cassette)
    assert again.error is None, again.error
    assert json.dumps(again.output) == json.dumps(finished.output)
    longer = await runs.replay(replace(call, input={"seconds": 61}), finished.cassette)
    assert longer.error.reason == "REPLAY_DIVERGED"


REFUSED = """
said = [(await self.file.open(handle)).decode() for handle in await self.context.files()]
for url, method in (("https://api.example.com/a", "POST"), ("https://other.example.com/", "GET")):
    try:
        await self.fetch(url, method=method)
    except Exception as error:
        said.append(str(error))
return [said, await self.file.list(stored=True)]
"""


async def test_what_was_not_granted_to_a_call_is_refused_to_its_replay(runs: Runs, outside: Outside) -> None:
    """A test has all that its release asks; the agent's call had less, and files that came with it."""
    asked = Authority(
        WIDE.permissions | {"context.files", "file.read"}, WIDE.hosts | {"other.example.com", "*.more.example.com"}
    )
    granted = Authority(asked.permissions - {"network.http.post"}, frozenset({HOST, "a.more.example.com"}))
    kept = Kept(a=b"hello")
    known = Known(files=kept.lent().handles)
    call = runs.execution(python(REFUSED), authority=granted, asked=asked, known=known, files=Lent(TICKET))
    finished = await runs.record(call, kept)
    assert finished.error is None, finished.error
    said, files = finished.output
    assert (said[0], len(said), files[0]["name"]) == ("hello", 3, "a")
    assert outside.seen == []
    test = replace(call, authority=asked, known=UNKNOWN, files=Lent())
    again = await runs.replay(test, finished.cassette)
    assert again.error is None, again.error
    assert json.dumps(again.output) == json.dumps(finished.output)
    more = replace(test, authority=Authority(granted.permissions - {"context.files"}, granted.hosts))
    refused = await runs.replay(more, finished.cassette)
    assert refused.error is not None, "a cassette permits nothing"
    unknown = replace(call, authority=Authority(granted.permissions - {"context.files"}, granted.hosts))
    assert b"orgs/acme/files/a" not in (await runs.record(unknown, kept)).cassette


async def test_a_secret_that_an_upstream_repeats_is_in_no_cassette(runs: Runs, outside: Outside) -> None:
    outside.say = lambda seen, _: answer(b"you sent " + str(seen.header("x-key")).encode(), headers={"X-Echo": SECRET})
    body = """return (await self.fetch("https://api.example.com/a", headers={"x-key": self.config["API_KEY"]})).text"""
    execution, cassette = await recorded(runs, python(body))
    assert SECRET not in cassette.decode()
    assert "secret://API_KEY#" in cassette.decode()
    again = await runs.replay(execution, cassette)
    assert again.output == read(cassette).output
    assert again.output.startswith("you sent ")


async def test_no_spelling_of_a_secret_is_in_the_cassette_of_a_run(runs: Runs, outside: Outside) -> None:
    said: list[str] = []

    def echo(seen: Seen, number: int) -> bytes:
        said.append(str(seen.header("x-key")))
        return answer(b"<" + list(ENCODINGS.values())[number - 1](said[-1]) + b">")

    outside.say = echo
    body = """
heard = 0
for number in range(input["times"]):
    try:
        await self.fetch("https://api.example.com/", headers={"x-key": self.config["API_KEY"]})
        heard += 1
    except Exception:
        pass
return heard
"""
    execution, cassette = await recorded(runs, python(body), input={"times": len(ENCODINGS)})
    assert said == [SECRET] * len(ENCODINGS)
    assert len(read(cassette).calls) == len(ENCODINGS)
    for name, spell in ENCODINGS.items():
        spelt = spell(SECRET).decode("latin-1")
        for text in {spelt, json.dumps(spelt)[1:-1]}:
            assert text not in cassette.decode(), name
    outlet = Outlet([Watched("API_KEY", SECRET)])
    assert await outlet.found_in(json.loads(cassette)) == ""
    assert (await runs.replay(execution, cassette)).output == read(cassette).output


@pytest.mark.parametrize(
    "spell", [str, lambda text: text[::-1], lambda text: text.encode().hex(), lambda text: "-".join(text)]
)
async def test_an_input_with_a_secret_in_it_is_not_recorded(runs: Runs, spell: Any) -> None:
    execution = runs.execution(python("return len(input['text'])"), input={"text": spell(SECRET)})
    finished = await runs.record(execution)
    assert finished.unrecorded is not None
    assert finished.unrecorded.reason == "CASSETTE_HOLDS_SECRET"
    assert finished.unrecorded.metadata["secret"] == "API_KEY"
    assert finished.cassette == b""
    assert (finished.outcome, finished.output) == (Outcome.OK, len(spell(SECRET)))


async def test_more_than_a_cassette_holds_is_refused(runs: Runs, outside: Outside) -> None:
    outside.say = lambda _seen, _number: answer(b"x" * 600_000)
    source = python("return [len((await self.fetch('https://api.example.com' + path)).text) for path in ('/a', '/b')]")
    finished = await runs.record(runs.execution(source))
    assert finished.unrecorded is not None
    assert finished.unrecorded.reason == "CASSETTE_LIMIT"
    assert finished.cassette == b""
    assert finished.output == [600_000, 600_000], "what was done is answered all the same"


async def test_what_is_called_is_in_the_cassette_and_not_run_again(runs: Runs) -> None:
    callee = runs.world.callee("adder", python("return {'sum': input['a'] + 1}"))
    caller = python("return [await self.call('adder.run', {'a': 1}), await self.call('adder.run', {'a': 2})]")
    execution = runs.execution(caller)
    execution = replace(execution, callees={"adder.run": callee})
    finished = await runs.record(execution)
    assert finished.output == [{"sum": 2}, {"sum": 3}]
    gone = replace(execution, callees={"adder.run": replace(callee, execution=None, refusal=InvalidArgument("gone"))})
    again = await runs.replay(gone, finished.cassette)
    assert again.output == finished.output
    undeclared = await runs.replay(replace(execution, callees={}), finished.cassette)
    assert undeclared.error is not None
    assert undeclared.error.reason == "CALLEE_NOT_DECLARED"


async def test_bytes_that_go_into_a_file_and_errors_come_back_as_they_were(runs: Runs, outside: Outside) -> None:
    outside.say = lambda seen, _: answer(bytes(range(256))) if seen.target == "/bytes" else answer(b"", 500)
    body = """
kept = await self.fetch("https://api.example.com/bytes", into="a.bin")
data = await self.file.read("a.bin")
failed = await self.fetch("https://api.example.com/fails", method="POST", body_file="a.bin")
return {"bytes": list(data), "status": failed.status, "size": len(data)}
"""
    execution, cassette = await recorded(runs, python(body))
    again = await runs.replay(execution, cassette)
    assert again.error is None, again.error
    assert again.output == read(cassette).output
    assert again.output["bytes"] == list(range(256))


async def test_a_call_that_no_cassette_may_have_is_not_recorded(runs: Runs) -> None:
    async def attempt(_execution: Execution, _tell: Any, session: Session | None) -> Finished:
        assert session is not None
        await session.tape.effect("websocket", "x" * 100, {}, nothing)
        return Finished(Outcome.OK, Usage(), 1)

    async def nothing() -> None:
        return None

    finished = await record(runs.execution("x"), lambda _event: None, attempt)
    assert finished.unrecorded is not None
    assert (finished.unrecorded.reason, finished.cassette) == ("CASSETTE_LIMIT", b"")
    assert "method" in finished.unrecorded.message
    assert finished.output == 1


async def test_code_that_fails_before_a_recorded_call_says_so_itself(runs: Runs) -> None:
    _, cassette = await recorded(runs, FETCHES, input={"paths": ["/a"]})
    broken = runs.execution(python("raise ValueError('early')"), capability="broken", input={"paths": ["/a"]})
    finished = await runs.replay(broken, cassette)
    assert finished.error is not None
    assert finished.error.reason == "USER_ERROR"
