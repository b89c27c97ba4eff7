"""Dry runs and calls that are held to their plan: nothing is written but what the plan has, whatever the code tries."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from executor.brokers import client_of
from executor.composed import World, javascript, python
from executor.kept import Kept
from executor.test_flows import api, flow
from executor.upstream import Seen, Upstream, json_answer, redirect
from hardpoint_executor.broker.effects import Effects
from hardpoint_executor.broker.outlet import Outlet
from hardpoint_executor.broker.scrub import Watched
from hardpoint_executor.broker.secrets import Secrets
from hardpoint_executor.domain import Execution, Finished, Limits, Outcome, Requirement
from hardpoint_executor.jail import Jails
from hardpoint_executor.service import Executor
from hardpoint_executor.writes import Effect, Ledger, Writes
from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.clock import SystemClock
from hardpoint_manifest.authority import Authority
from jail.shared import SharedJails

pytestmark = pytest.mark.jail

SECRET = "hush-4711-hush-4711"
WIDE = Authority(
    frozenset({"network.http.get", "network.http.post", "file.write", "file.read", "compute.moderate"}),
    frozenset({"api.example.com", "other.example.com"}),
)
API = "https://api.example.com"


@pytest.fixture
async def jails(shared_jails: SharedJails) -> Jails:
    return await shared_jails.of("slots")


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream(lambda seen: json_answer({"name": "Ann"} if seen.method == "GET" else {"id": 7})) as started:
        yield started


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
async def executor(jails: Jails, upstream: Upstream, world: World, kept: Kept) -> AsyncIterator[Executor]:
    async with client_of({"api.example.com": upstream, "other.example.com": upstream}) as http:
        yield Executor(world, world, jails, http, SystemClock(), Limits(), files=kept)


def execution(world: World, source: str, *callees: Any, **more: Any) -> Execution:
    return replace(world.add("a", source, *callees, authority=WIDE, **more), run="orgs/acme/runs/r1")


async def dry(executor: Executor, whole: Execution) -> Finished:
    """As a run of its own, so that its name and key are not those of what follows."""
    own = replace(whole, run="orgs/acme/runs/dry", idempotency_key="dry", writes=Writes(Ledger(dry_run=True)))
    return await executor.execute_to_end(SYSTEM("acme"), own)


async def held(executor: Executor, whole: Execution, plan: Sequence[Effect]) -> Finished:
    bare = [replace(effect, arguments={}) for effect in plan]
    writes = Writes(Ledger(dry_run=False, expected=bare))
    return await executor.execute_to_end(SYSTEM("acme"), replace(whole, writes=writes))


def writes_of(upstream: Upstream) -> list[Seen]:
    return [seen for seen in upstream.seen if seen.method != "GET"]


def secret(world: World) -> dict[str, Any]:
    return {
        "lease_token": world.lease("lease", {"API_KEY": SECRET}),
        "requirements": (Requirement("API_KEY", True, None, frozenset({"api.example.com"})),),
    }


SENDS = """
who = (await self.fetch("https://api.example.com/who")).json()["name"]
key = self.config["API_KEY"]
answer = await self.fetch(
    f"https://api.example.com/orders?token={key}", method="POST", headers={"authorization": f"Bearer {key}"},
    json={"for": who, "run": (await self.context.get())["run"], "items": input["items"]},
)
saved = await self.file.save("order.txt", "an order of " + who)
await self.fetch("https://other.example.com/told", method="POST", body=(await self.file.open(saved)).decode())
return [answer.status, answer.headers.get("hardpoint-dry-run"), answer.text]
"""


async def test_reads_are_done_and_writes_are_planned(
    executor: Executor, world: World, upstream: Upstream, kept: Kept
) -> None:
    whole = replace(execution(world, python(SENDS), input={"items": 2}, **secret(world)), files=kept.lent())
    finished = await dry(executor, whole)
    assert finished.error is None, finished.error
    assert [seen.target for seen in upstream.seen] == ["/who"]
    assert kept.saved == {}
    assert finished.output == [202, "1", ""]
    assert finished.used.permissions == {"network.http.get", "file.read"}
    assert finished.used.hosts == {"api.example.com"}
    assert [f"{effect.operation} {effect.target}" for effect in finished.planned] == [
        "POST api.example.com/orders",
        "save order.txt",
        "POST other.example.com/told",
    ]
    assert str(finished.planned[1]) == "save (file)", "a record keeps no names of an input"
    post = finished.planned[0].arguments
    assert post["query"] == "token=secret:API_KEY"
    assert post["headers"]["authorization"] == "Bearer secret:API_KEY"
    assert json.loads(post["body"]["text"]) == {"for": "Ann", "run": "{run}", "items": 2}
    assert SECRET not in json.dumps([effect.arguments for effect in finished.planned])
    assert finished.planned[1].arguments["content"]["text"] == "an order of Ann"

    again = await dry(executor, whole)
    assert [effect.digest for effect in again.planned] == [effect.digest for effect in finished.planned]

    done = await held(executor, whole, finished.planned)
    assert done.error is None, done.error
    assert done.left == 0
    assert [seen.target for seen in writes_of(upstream)] == [f"/orders?token={SECRET}", "/told"]
    assert [data for _, _, data in kept.saved.values()] == [b"an order of Ann"]
    assert "network.http.post" in done.used.permissions


async def test_another_input_is_refused_at_the_first_effect_that_differs(
    executor: Executor, world: World, upstream: Upstream
) -> None:
    source = python("""
for item in input["items"]:
    try:
        await self.fetch("https://api.example.com/x", method="POST", body=item)
    except Exception:
        pass
return "well"
""")
    plan = (await dry(executor, execution(world, source, input={"items": ["a", "b", "c"]}))).planned
    done = await held(executor, execution(world, source, input={"items": ["a", "B", "b", "c"]}), plan)
    assert [seen.body for seen in writes_of(upstream)] == [b"a"]
    assert done.outcome is Outcome.DENIED
    assert done.error is not None
    assert done.error.reason == "EFFECT_NOT_PLANNED"
    assert done.error.metadata["expected"] == "POST api.example.com"
    assert "with other arguments" in done.error.message
    assert "dry-run" in done.error.fix
    assert done.left == 2


@pytest.mark.parametrize("ext", ["py", "mjs"])
async def test_code_that_knows_a_dry_run_and_then_does_more_is_held_to_the_plan(
    executor: Executor, world: World, upstream: Upstream, ext: str
) -> None:
    source = {
        "py": python("""
answer = await self.fetch("https://api.example.com/first", method="POST")
if answer.status != 202:
    await self.fetch("https://api.example.com/stolen", method="POST", body="all")
return "well"
"""),
        "mjs": javascript("""
const answer = await this.fetch('https://api.example.com/first', { method: 'POST' });
if (answer.status !== 202) await this.fetch('https://api.example.com/stolen', { method: 'POST', body: 'all' });
return 'well';
"""),
    }[ext]
    whole = execution(world, source, ext=ext, **({"engine": "node"} if ext == "mjs" else {}))
    plan = (await dry(executor, whole)).planned
    done = await held(executor, whole, plan)
    assert [seen.target for seen in writes_of(upstream)] == ["/first"]
    assert done.error is not None
    assert (done.outcome, done.error.reason) == (Outcome.DENIED, "EFFECT_NOT_PLANNED")
    assert done.error.metadata["effect"] == "POST api.example.com"


async def test_writes_that_are_asked_for_together_come_in_the_order_of_the_plan(
    executor: Executor, world: World, upstream: Upstream
) -> None:
    source = javascript("""
const at = (n) => this.fetch(`https://api.example.com/${n}`, { method: 'POST' });
await Promise.all(input.order.map(at));
return null;
""")
    words: dict[str, Any] = {"ext": "mjs", "engine": "node"}
    plan = (await dry(executor, execution(world, source, input={"order": [1, 2, 3, 4]}, **words))).planned
    assert [effect.target for effect in plan] == [f"api.example.com/{n}" for n in (1, 2, 3, 4)]
    done = await held(executor, execution(world, source, input={"order": [1, 2, 3, 4]}, **words), plan)
    assert done.error is None
    assert [seen.target for seen in upstream.seen] == ["/1", "/2", "/3", "/4"]
    done = await held(executor, execution(world, source, input={"order": [2, 1, 3, 4]}, **words), plan)
    assert done.error is not None
    assert done.error.reason == "EFFECT_NOT_PLANNED"
    assert len(upstream.seen) == 4


async def test_callees_write_nothing_either_and_are_held_as_well(
    executor: Executor, world: World, upstream: Upstream
) -> None:
    posts = python("return (await self.fetch('https://api.example.com/b', method='POST', body=input['n'])).status")
    calls = python("""
await self.fetch("https://api.example.com/a", method="POST")
return [await self.call("b.run", {"n": "1"}), await self.call("b.run", {"n": input["n"]})]
""")
    b = world.callee("b", posts, authority=WIDE)
    finished = await dry(executor, execution(world, calls, b, input={"n": "2"}))
    assert (finished.output, upstream.seen) == ([202, 202], [])
    assert [(effect.path, effect.release.split("/")[3]) for effect in finished.planned] == [
        ("", "a"),
        ("b.run", "b"),
        ("b.run#2", "b"),
    ]
    assert finished.steps[0].used == Authority()
    done = await held(executor, execution(world, calls, b, input={"n": "3"}), finished.planned)
    assert done.error is not None
    assert done.error.metadata["effect"].startswith("b.run#2: POST")
    assert [seen.body for seen in upstream.seen] == [b"", b"1"]


async def test_a_write_that_is_redirected_goes_no_further_than_planned(
    executor: Executor, world: World, upstream: Upstream
) -> None:
    whole = execution(world, python("return (await self.fetch('https://api.example.com/x', method='POST')).status"))
    plan = (await dry(executor, whole)).planned
    upstream.respond = lambda seen: redirect("https://other.example.com/taken", 307)
    done = await held(executor, whole, plan)
    assert done.error is not None
    assert done.error.metadata["effect"] == "POST other.example.com"
    assert [seen.target for seen in upstream.seen] == ["/x"]


async def test_a_dry_run_checks_what_it_does_not_do(executor: Executor, world: World, upstream: Upstream) -> None:
    for request, reason in [
        ("'https://else.example.com/x', method='POST'", "HOST_NOT_GRANTED"),
        ("'https://api.example.com/x', method='DELETE'", "PERMISSION_NOT_GRANTED"),
        ("'https://api.example.com/x', method='POST', headers={'host': 'x'}", "HEADER_REFUSED"),
    ]:
        finished = await dry(executor, execution(world, python(f"return (await self.fetch({request})).status")))
        assert finished.error is not None
        assert (finished.error.reason, finished.planned) == (reason, ())
    assert upstream.seen == []


async def test_an_address_that_is_not_public_is_no_part_of_a_plan(jails: Jails, world: World) -> None:
    async def inside(_host: str, _port: int) -> list[str]:
        return ["10.0.0.7"]

    async with client_of({}, inside) as http:
        executor = Executor(world, world, jails, http, SystemClock(), Limits(), files=Kept())
        source = python("return (await self.fetch('https://api.example.com/x', method='POST')).status")
        finished = await dry(executor, execution(world, source))
    assert finished.error is not None
    assert (finished.error.reason, finished.planned) == ("ADDRESS_NOT_PUBLIC", ())


async def test_a_conversation_is_neither_planned_nor_held_to_a_plan(
    executor: Executor, world: World, upstream: Upstream
) -> None:
    source = python("""
try:
    await self.websocket("wss://api.example.com/talk")
except Exception as error:
    return error.code
""")
    whole = replace(execution(world, source), authority=Authority.of(("network.websocket",), ("api.example.com",)))
    assert (await dry(executor, whole)).output == "ANSWER_NOT_KNOWN"
    assert (await held(executor, whole, [])).output == "ANSWER_NOT_KNOWN"
    assert upstream.seen == []


async def test_what_stands_on_an_answer_that_is_not_there_ends_the_plan(executor: Executor, world: World) -> None:
    source = python("""
made = await self.fetch("https://api.example.com/orders", method="POST")
await self.fetch(f"https://api.example.com/orders/{made.json()['id']}/lines", method="POST")
""")
    finished = await dry(executor, execution(world, source))
    assert finished.error is not None
    assert [effect.target for effect in finished.planned] == ["api.example.com/orders"]


def request(method: str, **words: Any) -> str:
    """A connector with one endpoint."""
    capability = {
        "id": "a",
        "version": "1.0.0",
        "type": "api-connector",
        "api": {"base_url": API, "retry": 2},
        "endpoints": [{"id": "run", "path": "/items", "method": method, **words}],
    }
    return json.dumps({"capability": capability})


@pytest.mark.parametrize(
    ("method", "effect", "planned"),
    [("GET", "read", 0), ("GET", "write", 1), ("POST", "read", 1), ("POST", "write", 1)],
)
async def test_a_request_writes_by_its_method_or_since_its_author_says_so(
    executor: Executor, world: World, upstream: Upstream, method: str, effect: str, planned: int
) -> None:
    whole = execution(world, request(method, effect=effect), ext="json")
    finished = await dry(executor, whole)
    assert finished.error is None, finished.error
    assert (len(finished.planned), len(upstream.seen)) == (planned, 1 - planned)


async def test_a_planned_request_is_not_made_again_when_it_fails(
    executor: Executor, world: World, upstream: Upstream
) -> None:
    whole = execution(world, request("PUT"), ext="json")
    whole = replace(whole, authority=Authority.of(("network.http.put",), ("api.example.com",)))
    plan = (await dry(executor, whole)).planned
    upstream.respond = lambda _: json_answer({}, 503)
    done = await held(executor, whole, plan)
    assert done.error is not None
    assert (done.error.reason, len(upstream.seen)) == ("UPSTREAM_ERROR", 1)


EXPIRING = """
saved = await self.file.save("order.txt", "x", expires_in=input["seconds"])
return [(await self.context.get())["at"], saved["expire_time"]]
"""


async def test_how_long_a_file_is_kept_is_in_the_plan(executor: Executor, world: World, kept: Kept) -> None:
    whole = replace(execution(world, python(EXPIRING), input={"seconds": 60}), files=kept.lent())
    planned = await dry(executor, whole)
    assert planned.error is None, planned.error
    at, until = map(datetime.fromisoformat, planned.output)
    assert until - at == timedelta(seconds=60)
    assert planned.planned[0].arguments["expires_in"] == 60
    longer = await held(executor, replace(whole, input={"seconds": 61}), planned.planned)
    assert (longer.error.reason, kept.saved) == ("EFFECT_NOT_PLANNED", {})
    done = await held(executor, whole, planned.planned)
    assert (done.error, list(kept.expiring.values())) == (None, [60])


async def test_a_file_that_is_sent_is_in_the_plan_by_its_content(
    executor: Executor, world: World, upstream: Upstream
) -> None:
    source = python("""
await self.file.write("rows.csv", "n\\n" * input["rows"])
await self.fetch("https://api.example.com/rows", method="POST", body_file="rows.csv", into="answer.json")
return (await self.file.read("answer.json")).decode()
""")
    words = {"authority": Authority(WIDE.permissions | {"file.temporary"}, WIDE.hosts)}
    whole = replace(execution(world, source, input={"rows": 3000}), **words)
    finished = await dry(executor, whole)
    assert finished.output == ""
    assert finished.planned[0].arguments["body"].keys() == {"sha256", "bytes"}
    done = await held(executor, replace(whole, input={"rows": 3001}), finished.planned)
    assert done.error is not None
    assert (done.error.reason, upstream.seen) == ("EFFECT_NOT_PLANNED", [])
    done = await held(executor, whole, finished.planned)
    assert (done.output, len(upstream.seen)) == ('{"id": 7}', 1)


async def test_steps_of_a_flow_are_planned_where_they_stand(
    executor: Executor, world: World, upstream: Upstream
) -> None:
    """Those side by side may come in another order, and the key of each effect is what a service takes for one."""
    post = {"method": "POST", "idempotency": {"header": "Idempotency-Key"}}
    inner = api("c", integration=post, input={"n": "${item}"})
    nodes = [
        api("a", integration={**post, "body": {"n": "${input.n}"}}),
        api("b", integration=post),
        {"id": "each", "type": "loop", "for_each": "input.list", "body": {"nodes": [inner]}},
    ]
    ways = [way for node in ["a", "b", "each"] for way in (("start", node), (node, "end"))]
    edges = [{"from": one, "to": other} for one, other in ways]

    def drawn(n: int) -> Execution:
        words = {"input": {"n": n, "list": [1, 2]}, "ext": "json", "authority": WIDE}
        return replace(world.add("drawn", flow(*nodes, edges=edges), **words), run="orgs/acme/runs/r1")

    whole = drawn(1)
    finished = await dry(executor, whole)
    assert finished.error is None, finished.error
    assert sorted(effect.path for effect in finished.planned) == ["a", "b", "each/0/c", "each/1/c"]
    done = await held(executor, whole, finished.planned[::-1])
    assert (done.error, done.left, len(upstream.seen)) == (None, 0, 4)
    assert len({seen.header("idempotency-key") for seen in upstream.seen}) == 4
    done = await held(executor, drawn(2), finished.planned)
    assert done.error is not None
    assert done.error.metadata["effect"] == "a: POST api.example.com"


async def test_what_an_upstream_repeated_of_a_secret_is_in_no_plan() -> None:
    """An answer comes in without it; what code puts together of several may hold it again."""
    ledger, outlet = Ledger(dry_run=True), Outlet([Watched("KEY", SECRET)])
    effects = Effects(Writes(ledger), {}, Secrets({}), outlet)
    await outlet.answer(b"hush-4711")
    assert not await effects.admit("fetch", "POST", f"api.example.com/{SECRET}", {"query": f"k={SECRET}"})
    [planned] = ledger.planned
    assert (planned.target, planned.arguments) == ("api.example.com/[secret KEY]", {"query": "k=[secret KEY]"})
