"""Runs of workflows, from the command line."""

import pytest

from cli.conftest import Run
from cli.fakes import World
from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.runtime.v1 import run_pb2
from hardpoint_cli import following
from hardpoint_kit.documents import from_struct, from_value, to_struct, to_value
from hardpoint_kit.errors import Unavailable

RUN = "orgs/acme/runs/run-1"


@pytest.fixture
def waiting(world: World) -> World:
    """A run with a step that somebody has to approve, and one that may have happened."""
    world.runs[RUN] = run_pb2.Run(
        name=RUN, state=run_pb2.RUN_STATE_FAILED, reason="USER_ERROR", message="no such order"
    )
    for number, (path, waits) in enumerate([("ask", run_pb2.WAITS_APPROVAL), ("store", run_pb2.WAITS_DOUBT)], start=1):
        world.steps.append(
            run_pb2.Step(
                name=f"{RUN}/steps/{number}",
                path=path,
                state=run_pb2.RUN_STATE_WAITING,
                waits=waits,
                digest="sha256:x",
                shown=to_value({"pay": 5}),
            )
        )
    return world


def test_a_run_is_begun_and_followed(cli: Run, waiting: World) -> None:
    assert "run-9 queued" in cli("start", "helper", "orders.run", '{"order": 7}').out
    request = waiting.asked["StartRun"][0]
    assert (request.agent, request.action, from_struct(request.input)) == (
        "orgs/acme/agents/helper",
        "orders.run",
        {"order": 7},
    )
    assert request.request_id
    said = cli("watch", "run-1")
    assert said.code == 1
    assert "run-1 failed: USER_ERROR no such order" in said.out
    assert "succeeded  store" in said.err


def test_a_step_is_approved_as_it_is_shown(cli: Run, waiting: World) -> None:
    said = cli("approve", "run-1")
    assert "ask: {'pay': 5}" in said.err
    (request,) = waiting.asked["ApproveStep"]
    assert (request.step, request.digest, request.refuse) == (f"{RUN}/steps/1", "sha256:x", False)
    cli("approve", "run-1", "ask", "--refuse")
    assert waiting.asked["ApproveStep"][1].refuse
    assert cli("approve", "run-1", "store").code == 1


def test_an_approval_may_be_bound_to_a_plan_that_is_made_first(cli: Run, waiting: World) -> None:
    waiting.plan = manifest_pb2.EffectPlan(digest="sha256:4711")
    assert cli("approve", "run-1", "--dry-run").out.splitlines() == ["nothing would be written", "plan sha256:4711"]
    (made,) = waiting.asked["PlanStep"]
    assert (made.step, made.digest) == (f"{RUN}/steps/1", "sha256:x")
    assert waiting.asked["ApproveStep"] == []
    cli("approve", "run-1", "--plan", "sha256:4711")
    assert [request.plan for request in waiting.asked["ApproveStep"]] == ["sha256:4711"]


def test_a_dry_run_of_a_workflow_is_shown_step_by_step(cli: Run, waiting: World) -> None:
    def step(path: str, action: str, outcome: str, message: str = "") -> manifest_pb2.PlannedStep:
        named = f"OUTCOME_{outcome}"
        return manifest_pb2.PlannedStep(path=path, action=action, outcome=named, message=message)

    rows = to_struct({"params": {"sha256": "5a", "bytes": 9, "text": '[{"n": 1}]'}})
    waiting.plan = manifest_pb2.EffectPlan(
        digest="sha256:4711",
        steps=[
            step("ask", "", "PASSED", "waits for an approval"),
            step("store", "database.insert", "PLANNED"),
            step("store-2", "shop.put", "DONE"),
            step("mail", "email.send", "UNKNOWN", "stands on what store would answer: steps.store.id"),
        ],
        effects=[manifest_pb2.PlannedEffect(path="store/in", operation="INSERT", target="invoices", arguments=rows)],
        incomplete=True,
        reason="ANSWER_NOT_KNOWN",
    )
    said = cli("start", "helper", "orders.run", '{"order": 7}', "--dry-run")
    assert said.out.splitlines() == [
        "ask                       passed       waits for an approval",
        "store    database.insert  would write",
        "    1. in: INSERT invoices",
        '         params: [{"n": 1}]',
        "store-2  shop.put         done",
        "mail     email.send       not known    stands on what store would answer: steps.store.id",
        "1 effect would be written; nothing was",
        "what is not known stands on answers that only a run has",
        "plan sha256:4711",
    ]
    assert waiting.asked["StartRun"] == []
    assert [request.dry_run for request in waiting.asked["CallAction"]] == [True]


def test_what_may_have_happened_is_decided(cli: Run, waiting: World) -> None:
    cli("resume", "run-1", "skip", "--output", '{"rows": 1}')
    (request,) = waiting.asked["ResumeRun"]
    assert (request.step, request.decision) == (f"{RUN}/steps/2", run_pb2.RESUME_SKIP)
    assert from_value(request.output) == {"rows": 1}
    assert cli("resume", "run-1", "perhaps").code == 2
    assert "--output is not JSON" in cli("resume", "run-1", "skip", "--output", "{").err


@pytest.mark.parametrize("input", ["[1]", "1", "{"])
def test_a_run_begins_with_an_object(cli: Run, world: World, input: str) -> None:
    said = cli("start", "helper", "invoices.run", input)
    assert (said.code, said.out) == (2, "")
    assert not world.asked["StartRun"]


def test_a_run_is_sent_events_cancelled_and_forked(cli: Run, waiting: World) -> None:
    cli("send", "run-1", "paid", '"card"')
    (event,) = waiting.asked["SendEvent"]
    assert (event.run, event.event, from_value(event.payload)) == (RUN, "paid", "card")
    assert "run-1 cancelled" in cli("cancel", "run-1").out
    assert "run-8 queued" in cli("fork", "run-1", "store").out
    assert waiting.asked["ForkRun"][0].step == "store"


def test_a_run_is_followed_on_when_its_server_is_lost(
    cli: Run, waiting: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PAUSE_SECONDS", 0.0)
    waiting.cuts = [Unavailable("the connection was cut"), None]
    said = cli("watch", "run-1")
    assert said.code == 1
    assert "run-1 failed: USER_ERROR no such order" in said.out
    assert said.err.count("lost the server") == 2
    assert (said.err.count("succeeded  look"), said.err.count("succeeded  store")) == (1, 1)
    assert [request.sequence for request in waiting.asked["WatchRun"]] == [0, 0, 0]


def test_a_run_whose_server_stays_away_is_given_up_in_words(
    cli: Run, waiting: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PAUSE_SECONDS", following.LOST_SECONDS)
    waiting.cuts = [Unavailable("the connection was cut")]
    said = cli("watch", "run-1")
    assert said.code == 1
    assert "run-1 is not followed any more" in said.err
    assert "hardpoint watch run-1" in said.err
