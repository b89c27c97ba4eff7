"""What an example of a workflow says of a run is what the runtime does: generated workflows are run, then tried.

The executor and the people of a run do as drawn. What each step was given and gave becomes an example of it, which has
to hold: no answer is missing, none is left over, and the end is the same.
"""

import asyncio
import contextlib
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby
from typing import Any

import pytest

from hardpoint.manifest.v1.manifest_pb2 import Authority as Grants
from hardpoint.runtime.v1 import run_pb2
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.documents import to_struct, to_value
from hardpoint_kit.errors import ActionFailed, Conflict
from hardpoint_kit.names import ReleaseName
from hardpoint_kit.rpc.server import Server
from hardpoint_manifest.authority import Authority
from hardpoint_manifest.check import check
from hardpoint_manifest.load import load
from hardpoint_manifest.model import Manifest
from hardpoint_manifest.trial import tried
from hardpoint_runtime.domain.executions import Ended, Execution
from hardpoint_runtime.domain.releases import Release
from hardpoint_runtime.domain.runs import RunState, Usage
from hardpoint_runtime.server import Options, assemble
from runtime.conftest import AGENT, Client, Fakes
from runtime.workflows import ENDED, SHOP, action, output, steps, until
from runtime.workflows import shop as shop_release
from serving import Serve

PLANS = 60
ANSWERS: tuple[Any, ...] = ({"v": 1}, {"v": [1, {"w": "x"}]}, 7, "text", None, [1, 2])


@pytest.fixture
async def server(url: str, fakes: Fakes, serve: Serve) -> Server:
    return await serve(assemble(Options(runtime_database_url=url), SystemClock(), fakes.peers(), tuple))


class Drawn:
    """A workflow that was drawn, its input, and what becomes of each place of its run."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.id = f"drawn{number}"
        self._random = random.Random(number)
        self.is_line = self._random.random() < 0.7
        self.steps: list[dict[str, Any]] = []
        for id in "abcdef"[: self._random.randint(1, 6)]:
            self.steps.append(self._step(id))
        self.input = {"n": self._random.randint(0, 3), "list": [*range(self._random.randint(0, 4))]}
        self.asked: dict[str, Any] = {}
        """By place, what was given."""

        self.words: dict[str, Any] = {"steps": self.steps}
        if self._chance(0.5):
            told = {"action": "shop.mail", "why": "${error.reason}", "at": "${error.step}"}
            self.words["error_handling"] = {"on_error": told}
        if self._chance(0.5):
            self.words["output"] = {"n": "${input.n}", "of": f"${{steps.{self.steps[-1]['id']}}}"}

    def manifest(self, *examples: dict[str, Any]) -> Manifest:
        """It as a release."""
        capability = {"id": self.id, "version": "1.0.0", "workflow": self.words, "examples": examples}
        found = check(load(json.dumps({"capability": capability}).encode(), "drawn.json"))
        assert found.ok, found.findings
        assert found.manifest is not None
        return found.manifest

    def example(self, ended: run_pb2.Run, given: Any, listed: dict[str, run_pb2.Step]) -> dict[str, Any]:
        """Its run as an example: what each step was given and gave, and what came of it all."""
        said = {step["id"]: answers for step in self.steps if (answers := self._answers(step, listed)) is not None}
        if "on-error" in self.asked:
            said["on-error"] = self._answer("on-error")
        failed = ended.state == run_pb2.RUN_STATE_FAILED
        return {
            "input": self.input,
            "steps": said,
            **({"expected_error": ended.reason} if failed else {"expected_output": given}),
        }

    def _answers(self, step: dict[str, Any], listed: dict[str, run_pb2.Step]) -> Any:
        id, kind = step["id"], step["action"]
        if "for_each" in step:
            items = [place for place in (f"{id}/{index}" for index in range(9)) if place in self.asked]
            return [self._answer(place) for place in items] or None
        if id not in listed:
            return "skipped" if kind != "transform" else None
        if kind in ("transform", "shop.put", "shop.store", "shop.look") and id not in self.asked:
            return None  # it failed before it asked
        if kind == "wait":
            return {"given": 0}
        if kind == "event":
            return {"given": f"go-{id}", "gives": self.becomes(id)[0]}
        if kind == "approve":
            return {"gives": {"approved": False} if self.becomes(id)[1] else {"by": "ada"}}
        return self._answer(id)

    def _answer(self, place: str) -> dict[str, Any]:
        gives, fails = self.becomes(place)
        undone = f"{place}.revert"
        revert = {"revert": self._answer(undone)} if undone in self.asked else {}
        return {"given": self.asked[place], **({"fails": fails} if fails else {"gives": gives}), **revert}

    def becomes(self, place: str) -> tuple[Any, str]:
        """What a place gives, or the reason with which it fails."""
        drawn = random.Random(f"{self.number} {place}")
        fails = self.is_line and drawn.random() < 0.15
        return (None, drawn.choice(["BAD", "GONE"])) if fails else (drawn.choice(ANSWERS), "")

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _step(self, id: str) -> dict[str, Any]:
        before = [step["id"] for step in self.steps]
        step: dict[str, Any] = {"id": id}
        if not self.is_line:
            before = step["needs"] = self._random.sample(before, self._random.randint(0, min(2, len(before))))
        if self._chance(0.3):
            step["if"] = self._random.choice(["input.n > 1", "input.n <= 1"])
        known = f"${{steps.{self._random.choice(before)}}}" if before and self._chance(0.5) else "${input.n}"
        kind = self._random.choice(["call"] * 6 + ["transform", "wait", "approve", "event"])
        if kind == "call":
            step |= {"action": self._random.choice(["shop.put", "shop.store", "shop.look"]), "at": id, "known": known}
            if self._chance(0.3):
                step |= {"for_each": "input.list", "x": "${item}", "i": "${index}"}
            if self._chance(0.2):
                step["on_error"] = "continue"
            if self._chance(0.5):
                step["revert"] = {"action": "shop.undo", "gave": "${output}", "n": "${input.n}"}
            return step
        takes = {"transform": {"value": {"k": known}}, "wait": {"seconds": 0}, "event": {"name": f"go-{id}"}}
        return {**step, "action": kind, **takes.get(kind, {"message": f"{id}: {known}" if "n}" in known else id})}


class Outside:
    """The executor of all runs: what a place becomes is drawn, and what it was given is written down."""

    def __init__(self) -> None:
        self.runs: defaultdict[str, asyncio.Future[Drawn]] = defaultdict(asyncio.get_running_loop().create_future)

    async def __call__(self, execution: Execution) -> Ended:
        run, _, place = execution.idempotency_key.partition("/")
        drawn = await self.runs[run]
        drawn.asked[place] = dict(execution.input)
        gives, fails = drawn.becomes(place)
        if fails:
            return Ended(RunState.FAILED, None, ActionFailed("no", reason=fails), Usage())
        return Ended(RunState.SUCCEEDED, to_value(gives), None, Usage())


def released(drawn: Drawn, manifest: Manifest) -> Release:
    assert manifest.plan is not None
    asks = Authority(frozenset({"network.http.get"}), frozenset({"api.shop.com"}))
    name, plan = ReleaseName("acme", drawn.id, "1.0.0"), manifest.plan.model_dump(mode="json")
    calls = tuple(f"shop.{one.id}" for one in SHOP)
    digest = f"sha256:{drawn.number:064}"
    return Release(name, digest, "d.yaml", (action("run"),), (), asks, plan=plan, calls=calls, kind="WORKFLOW")


async def run_of(client: Client, outside: Outside, drawn: Drawn) -> run_pb2.Run:
    """Start it, send what it may wait for, and say yes or no to what it asks, until it has ended."""
    request = run_pb2.StartRunRequest(
        agent=AGENT, action=f"{drawn.id}.run", input=to_struct(drawn.input), request_id=drawn.id
    )
    run = await client.runs.StartRun(request)
    for step in drawn.steps:
        if step["action"] == "event":
            gives, _ = drawn.becomes(step["id"])
            sent = run_pb2.SendEventRequest(run=run.name, event=f"go-{step['id']}", payload=to_value(gives))
            with contextlib.suppress(Conflict):  # it has ended, since one before it waits for nobody and failed
                await client.runs.SendEvent(sent)
    outside.runs[run.name.rpartition("/")[2]].set_result(drawn)
    while True:
        now = await until(client, run.name, run_pb2.RUN_STATE_WAITING, *ENDED)
        if now.state in ENDED:
            return now
        for path, step in (await steps(client, run.name)).items():
            if step.state == run_pb2.RUN_STATE_WAITING and step.digest and not step.decided_by:
                decided = run_pb2.ApproveStepRequest(
                    step=step.name, digest=step.digest, refuse=bool(drawn.becomes(path)[1])
                )
                with contextlib.suppress(Conflict):  # an event came
                    await client.runs.ApproveStep(decided)


def in_order(places: Iterable[str]) -> list[str]:
    """Places without the items of loops, which go side by side."""
    return [place for place, _ in groupby(re.sub(r"/\d+", "", place) for place in places)]


async def test_a_run_of_a_drawn_workflow_is_an_example_that_holds(client: Client, fakes: Fakes) -> None:
    outside = fakes.executor.behave = Outside()
    fakes.registry.add(shop_release())
    await client.create_agent()
    grants = Grants(permissions=["network.http.get"], hosts=["api.shop.com"])
    reasons = set()
    drawn = [Drawn(number) for number in range(PLANS)]
    for one in drawn:
        fakes.registry.add(released(one, one.manifest()))
    for capability in ("shop", *(one.id for one in drawn)):
        await client.install(f"orgs/acme/capabilities/{capability}", grants)
        await client.attach(f"orgs/acme/installations/{capability}")
    for one in drawn:
        ended = await run_of(client, outside, one)
        gave = await output(client, ended) if ended.state == run_pb2.RUN_STATE_SUCCEEDED else None
        (here,) = tried(one.manifest(one.example(ended, gave, await steps(client, ended.name))))
        assert here.differences == (), (one.number, one.words, one.input)
        assert (here.output, here.reason) == (gave, ended.reason), one.number
        asking = [ran.place for ran in here.steps if ran.place in one.asked]
        assert sorted(asking) == sorted(one.asked)
        if one.is_line:
            assert in_order(asking) == in_order(one.asked), one.number
        reasons.add(ended.reason)
    assert reasons >= {"", "BAD", "GONE", "REFUSED", "MAPPING_MISSING"}, reasons
