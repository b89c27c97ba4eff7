"""What tests of workflows share: releases with plans, and a caller who starts and follows runs."""

import asyncio
import uuid
from typing import Any

from hardpoint.manifest.v1.manifest_pb2 import Authority as Grants
from hardpoint.runtime.v1 import run_pb2
from hardpoint_kit.documents import from_value, to_struct
from hardpoint_kit.names import ReleaseName
from hardpoint_kit.telemetry import trace_id
from hardpoint_manifest.authority import Authority
from hardpoint_manifest.plan import Plan
from hardpoint_runtime.domain.executions import Ended, Execution
from hardpoint_runtime.domain.releases import Action, Effect, Release
from hardpoint_runtime.domain.runs import RunState, Usage
from runtime.conftest import AGENT, Client
from runtime.fakes import FakeExecutor, succeed

ANYTHING = {"type": "object"}
ENDED = {run_pb2.RUN_STATE_SUCCEEDED, run_pb2.RUN_STATE_FAILED, run_pb2.RUN_STATE_CANCELLED}
TOOL = "orders.run"


def action(action_id: str, effect: Effect = Effect.WRITE, *, idempotent: bool = False) -> Action:
    return Action(action_id, action_id, "", ANYTHING, {}, effect, idempotent)


SHOP = (
    action("store"),
    action("put", idempotent=True),
    action("look", Effect.READ),
    action("mail"),
    action("undo", idempotent=True),
)


def shop(*actions: Action) -> Release:
    """The capability whose actions the workflows of tests call."""
    name = ReleaseName("acme", "shop", "1.0.0")
    asks = Authority(frozenset({"network.http.get"}), frozenset({"api.shop.com"}))
    return Release(name, f"sha256:{'1' * 64}", "shop.yaml", actions or SHOP, (), asks)


def workflow(*steps: dict[str, Any], version: str = "1.0.0", **plan: Any) -> Release:
    """A release of kind workflow; a step without `does` calls `shop.<its id>`, or the action that it names."""
    full = [{"does": "call", "action": f"shop.{step['id']}", **step} for step in steps]
    compiled = Plan.model_validate({"steps": full, **plan})
    asks = Authority(frozenset({"network.http.get"}), frozenset({"api.shop.com"}))
    return Release(
        ReleaseName("acme", "orders", version),
        f"sha256:{'2' * 64}",
        "orders.yaml",
        (action("run"),),
        (),
        asks,
        plan=compiled.model_dump(mode="json"),
        calls=tuple(f"shop.{one.id}" for one in SHOP),
        kind="WORKFLOW",
    )


def after(*steps: str, port: str = "done") -> list[dict[str, str]]:
    return [{"step": step, "port": port} for step in steps]


async def install(client: Client, fakes: Any, *releases: Release) -> None:
    """An agent with the shop and the workflow attached."""
    fakes.registry.add(shop(), *releases)
    await client.create_agent()
    for capability in ("shop", "orders"):
        grants = Grants(permissions=["network.http.get"], hosts=["api.shop.com"])
        await client.install(f"orgs/acme/capabilities/{capability}", grants)
        await client.attach(f"orgs/acme/installations/{capability}")


async def start(client: Client, request_id: str = "", **value: Any) -> run_pb2.Run:
    request = run_pb2.StartRunRequest(
        agent=AGENT, action=TOOL, input=to_struct(value), request_id=request_id or uuid.uuid4().hex
    )
    return await client.runs.StartRun(request)


async def until(client: Client, run: str, *states: int) -> run_pb2.Run:
    """Follow a run until it is in one of the states, by default until it has ended."""
    wanted = set(states) or ENDED
    last = run_pb2.Run()
    async with asyncio.timeout(20):
        async for change in client.runs.WatchRun(run_pb2.WatchRunRequest(name=run)):
            last = change.run
            if last.state in wanted:
                break
    assert last.state in wanted, last
    return await client.runs.GetRun(run_pb2.GetRunRequest(name=run))


async def output(client: Client, run: run_pb2.Run) -> Any:
    response = await client.runs.GetRunOutput(run_pb2.GetRunOutputRequest(name=run.name))
    return from_value(response.output)


async def steps(client: Client, run: str) -> dict[str, run_pb2.Step]:
    response = await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=run))
    return {step.path: step for step in response.steps}


class Shop:
    """Behaves as told for each action, and remembers which were asked, with the keys of their effects."""

    def __init__(self, executor: FakeExecutor) -> None:
        self.asked: list[str] = []
        self.keys: list[str] = []
        self.traces: set[str] = set()
        self.answers: dict[str, list[Any]] = {}
        executor.behave = self

    async def __call__(self, execution: Execution) -> Ended:
        self.asked.append(execution.action.id)
        self.keys.append(execution.idempotency_key)
        self.traces.add(trace_id())
        waiting = self.answers.get(execution.action.id, [])
        answer = waiting.pop(0) if waiting else None
        if isinstance(answer, Exception):
            return Ended(RunState.FAILED, None, answer, Usage())
        if callable(answer):
            return await answer(execution)
        return await succeed(execution)
