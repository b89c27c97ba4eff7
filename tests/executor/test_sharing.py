"""Executions of one run share a jail where the release asks for it and its org allows it, and nowhere else."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from executor.brokers import client_of
from executor.composed import World, python
from executor.kept import Kept
from executor.test_flows import WIDE, code, flow
from executor.upstream import Seen, Upstream, json_answer
from hardpoint_executor.domain import Execution, Finished, Limits, Requirement, Sharing
from hardpoint_executor.jail import JailOptions, Jails
from hardpoint_executor.service import Executor
from hardpoint_executor.taping import cassette_of
from hardpoint_executor.writes import Ledger, Writes
from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.clock import SystemClock
from hardpoint_manifest.authority import Authority

pytestmark = pytest.mark.jail

HOST = "api.example.com"
COUNT = "import builtins\nbuiltins.n = getattr(builtins, 'n', 0) + 1\n"
COUNTS = COUNT + "return {'n': builtins.n, 'mine': input}"
RUN = Sharing("orgs/acme/runs/r1", "i1")
GOES_ON = replace(RUN, goes_on=True)


@pytest.fixture(scope="module")
async def jails() -> AsyncIterator[Jails]:
    started = Jails(JailOptions(languages=("python",)))
    await started.start()
    assert started.reasons_not_ready() == []
    yield started
    await started.stop()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def make(jails: Jails, world: World) -> AsyncIterator[Any]:
    """Executors; and what an upstream was asked."""
    seen: list[Seen] = []

    def answer(request: Seen) -> bytes:
        seen.append(request)
        return json_answer({}, 200)

    async with Upstream(answer) as upstream, client_of({HOST: upstream}) as http:

        def make() -> Executor:
            return Executor(world, world, jails, http, SystemClock(), Limits(), files=Kept())

        make.seen = seen  # type: ignore[attr-defined]
        yield make
    for run in ("r1", "r2"):
        jails.end_run("acme", f"orgs/acme/runs/{run}")


async def ran(executor: Executor, execution: Execution) -> Finished:
    return await executor.execute_to_end(SYSTEM("acme"), execution)


def resting(jails: Jails) -> int:
    return sum(slot.shared is not None for slot in jails._calls["python", True].pool._ready)


def loop(world: World, count: int, **more: Any) -> Execution:
    """A flow that runs code for each of so many items."""
    body = {"nodes": [code("count", COUNTS, input="${item}")]}
    source = flow({"id": "each", "type": "loop", "for_each": "input.list", "body": body})
    return world.add("drawn", source, ext="json", authority=WIDE, input={"list": list(range(count))}, **more)


async def test_a_loop_of_a_flow_shares_jails_until_the_flow_has_ended(make: Any, jails: Jails, world: World) -> None:
    finished = await ran(make(), loop(world, 12, sharing=RUN, shared_runs=True))
    assert finished.error is None, finished.error
    assert [item["mine"] for item in finished.output] == list(range(12))
    fresh = [item["n"] for item in finished.output].count(1)
    assert fresh < 12
    assert resting(jails) == 0


@pytest.mark.parametrize(
    ("sharing", "shared_runs", "single_use"),
    [(None, True, False), (RUN, False, False), (RUN, True, True)],
    ids=["not asked for", "not allowed", "single use"],
)
async def test_without_both_wishes_each_call_has_a_jail_of_its_own(
    make: Any, world: World, sharing: Sharing | None, shared_runs: bool, single_use: bool
) -> None:
    executor = make()
    asked = sharing and GOES_ON
    execution = world.add("a", python(COUNTS), sharing=asked, shared_runs=shared_runs, single_use=single_use)
    assert [(await ran(executor, execution)).output["n"] for _ in range(2)] == [1, 1]


async def test_a_strict_release_shares_nothing(make: Any, world: World) -> None:
    execution = world.add("a", python(COUNTS), sharing=GOES_ON, shared_runs=True, strict=True)
    assert [(await ran(make(), execution)).output["n"] for _ in range(2)] == [1, 1]


@pytest.mark.parametrize("dry_run", [True, False], ids=["makes a plan", "is held to one"])
async def test_a_plan_is_made_and_kept_to_in_jails_of_its_own(make: Any, world: World, dry_run: bool) -> None:
    executor = make()
    execution = world.add("a", python(COUNTS), sharing=GOES_ON, shared_runs=True)
    assert (await ran(executor, execution)).output["n"] == 1
    planned = replace(execution, writes=Writes(Ledger(dry_run=dry_run)))
    assert [(await ran(executor, planned)).output["n"] for _ in range(2)] == [1, 1]


async def test_what_is_recorded_does_not_depend_on_what_a_jail_has_left(make: Any, world: World) -> None:
    executor = make()
    execution = world.add("a", python(COUNTS), sharing=GOES_ON, shared_runs=True)
    assert (await ran(executor, execution)).output["n"] == 1
    assert [(await ran(executor, replace(execution, record=True))).output["n"] for _ in range(2)] == [1, 1]
    taped = await ran(executor, replace(execution, record=True))
    replay = replace(execution, cassette=cassette_of(taped.cassette))
    assert [(await ran(executor, replay)).output["n"] for _ in range(2)] == [1, 1]


async def test_executions_of_a_run_that_goes_on_share_a_jail(make: Any, jails: Jails, world: World) -> None:
    executor = make()
    execution = world.add("a", python(COUNTS), sharing=GOES_ON, shared_runs=True)
    assert [(await ran(executor, execution)).output["n"] for _ in range(3)] == [1, 2, 3]
    assert (await ran(executor, replace(execution, sharing=RUN))).output["n"] == 4
    assert resting(jails) == 0, "the last of its run"
    assert (await ran(executor, execution)).output["n"] == 1
    assert (await ran(executor, replace(execution, sharing=RUN, shared_runs=False))).output["n"] == 1
    assert resting(jails) == 0, "the last of its run, whose org lets nothing share any more"
    # What differs in its reach alone comes right after what it must not share with, whose jail still rests.
    for other in (
        execution,
        replace(execution, authority=WIDE),
        replace(execution, sharing=replace(GOES_ON, run="orgs/acme/runs/r2")),
        replace(execution, sharing=replace(GOES_ON, installation="i2")),
        replace(execution, release=execution.release.replace("1.0.0", "1.0.1")),
        execution.on_behalf((execution.calling,)),
        execution.on_behalf((replace(execution.calling, authority=Authority()),)),
    ):
        assert (await ran(executor, other)).output["n"] == 1


async def test_a_handle_of_an_earlier_call_opens_nothing_in_a_later_one(make: Any, world: World) -> None:
    """The code keeps the handle of the first call; a handle is good for its own execution alone."""
    body = f"""{COUNT}
builtins.handle = getattr(builtins, 'handle', self.config['KEY'])
await self.fetch('https://{HOST}/' + str(builtins.n), headers={{'Authorization': builtins.handle}})
return {{'n': builtins.n}}"""
    executor = make()
    key = Requirement("KEY", True, hosts=frozenset({HOST}))
    world.lease("lease", {"KEY": "the-secret-value"})
    reach = {"authority": WIDE, "requirements": (key,), "lease_token": "lease"}
    execution = world.add("a", python(body), sharing=GOES_ON, shared_runs=True, **reach)
    assert (await ran(executor, execution)).output == {"n": 1}
    assert (await ran(executor, execution)).output == {"n": 2}
    first, second = (seen.header("authorization") for seen in make.seen)
    assert first == "the-secret-value"
    assert second.startswith("secret://KEY#"), "what nobody has given a meaning is text"


async def test_callees_of_a_run_share_a_jail_and_end_with_the_run(make: Any, jails: Jails, world: World) -> None:
    b = world.callee("b", python(COUNTS), sharing=RUN, shared_runs=True)
    body = "return [(await self.call('b.run', {'at': n}))['n'] for n in range(3)]"
    finished = await ran(make(), world.add("a", python(body), b))
    assert finished.output == [1, 2, 3], finished.error
    assert resting(jails) == 0
