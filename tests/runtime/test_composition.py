"""What releases call of other capabilities: which installation is meant, why one cannot be called, and its record."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hardpoint.manifest.v1.manifest_pb2 import Authority as Grants
from hardpoint.runtime.v1 import agent_pb2, installation_pb2, run_pb2
from hardpoint_kit.documents import to_value
from hardpoint_kit.errors import ActionFailed, Conflict
from hardpoint_kit.names import InstallationName, ReleaseName, RunName
from hardpoint_manifest.authority import Authority
from hardpoint_runtime.domain.callees import DEEPEST, MOST, Callee, Directory, Installed, Refused, called
from hardpoint_runtime.domain.executions import Allowed, Alone, Ended, Execution
from hardpoint_runtime.domain.releases import Release
from hardpoint_runtime.domain.runs import CountedFor, Failure, Inner, RunState, Usage
from hardpoint_runtime.peers.execution import request_of
from runtime.conftest import Another, Client, Dial, Fakes, Query, eventually
from runtime.factories import API_KEY, action, release

POST = Authority(frozenset({"network.http.post", "compute.light"}), frozenset({"api.weather.com"}))
FREE = {"type": "object"}


def calling(capability: str, *calls: str, **more: object) -> Release:
    made = release(capability, actions=(action("run", FREE),), **more)  # type: ignore[arg-type]
    return replace(made, calls=calls)


def installed(
    made: Release, *, on: bool = True, priority: int | None = None, name: str = "", own_name: bool = False
) -> Installed:
    place = InstallationName("acme", name or made.name.capability)
    counted_for = CountedFor(place.installation, place.installation)
    return Installed(place, on, made, made.asks, counted_for, priority, own_name=own_name)


def directory(*named: Installed, attached: tuple[Installed, ...] = ()) -> Directory:
    return Directory.of("acme", attached, named, called(one.release for one in (*named, *attached)))


def only(found: tuple[Callee | Refused, ...]) -> Callee | Refused:
    (one,) = found
    return one


def test_the_attached_one_is_meant_before_the_one_of_that_name() -> None:
    top, named, attached = calling("top", "b.run"), installed(calling("b")), installed(calling("b"), name="mine")
    mine = replace(attached, priority=0)
    assert directory(named).resolve(top, "b.run").installed == named
    assert directory(named, attached=(mine,)).resolve(top, "b.run").installed == mine
    higher = replace(mine, name=InstallationName("acme", "higher"), priority=7)
    assert directory(named, attached=(mine, higher)).resolve(top, "b.run").installed == higher


def test_the_policy_of_the_org_is_said_of_what_is_called_too() -> None:
    top = calling("top", "b.run")
    b = only(directory(installed(calling("b", "c.run")), installed(calling("c"))).callees(top))
    assert isinstance(b, Callee)
    c = only(b.callees)
    assert isinstance(c, Callee)
    callees = (Allowed(b, "artifact", "", (Allowed(c, "artifact", ""),)),)
    run = RunName("acme", "r-1")
    asked = Execution(run, "", top, top.actions[0], {}, top.asks, "artifact", "", 1.0, 2.0, callees=callees)
    for policy in ({"single_use": True}, {"shared_runs": True}, {}):
        request = request_of(replace(asked, **policy))  # type: ignore[arg-type]
        inner = request.callees[0].execution
        for one in (request, inner, inner.callees[0].execution):
            said = {"single_use": one.single_use, "shared_runs": one.shared_runs}
            assert said == {"single_use": False, "shared_runs": False} | policy


def test_an_installation_of_that_name_of_another_capability_is_not_meant() -> None:
    found = only(directory(installed(calling("other"), name="b")).callees(calling("top", "b.run")))
    assert isinstance(found, Refused)
    assert found.reason == "CALLEE_NOT_INSTALLED"


def test_one_with_a_name_of_its_own_is_meant_by_that_alone() -> None:
    named, plain = installed(calling("b"), name="mine", own_name=True), installed(calling("b"))
    top = calling("top", "b.run", "mine.run")
    for found in (directory(named, plain), directory(plain, attached=(replace(named, priority=9),))):
        assert found.resolve(top, "b.run").installed == plain
        assert found.resolve(top, "mine.run").installed.name == named.name
    refused = only(directory(named).callees(calling("top", "b.run")))
    assert isinstance(refused, Refused)
    assert refused.reason == "CALLEE_NOT_INSTALLED"


def test_a_name_of_its_own_is_for_capabilities_of_its_org_alone() -> None:
    """Another org's author meant a capability of that id; attached or not, its callers get none of it."""
    mine = installed(calling("b"), name="mine", own_name=True)
    stranger = calling("top", "mine.run", org="evil")
    for found in (directory(mine), directory(attached=(replace(mine, priority=0),))):
        refused = only(found.callees(stranger))
        assert isinstance(refused, Refused)
        assert (refused.reason, refused.facts) == ("CALLEE_NOT_INSTALLED", {"installation": str(mine.name)})
        with pytest.raises(Conflict):
            found.resolve(stranger, "mine.run")
    # Nor by way of a capability of the org: who calls decides, not who is called by whom.
    between = calling("own", "top.run")
    inner = only(directory(mine, installed(stranger)).resolve(between, "top.run").callees)
    assert isinstance(inner, Refused)
    outer, through = calling("top", "own.run", org="evil"), installed(calling("own", "mine.run"))
    assert isinstance(only(directory(mine, through).resolve(outer, "own.run").callees), Callee)


def test_a_cycle_is_one_under_any_name() -> None:
    again = installed(calling("top", "b.run"), name="again", own_name=True)
    found = directory(again, installed(calling("b", "again.run")))
    refused = only(found.resolve(calling("top", "b.run"), "b.run").callees)
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.facts["cycle"]) == ("CALLEE_CYCLE", "top -> b.run -> again.run")
    with pytest.raises(Conflict) as kept:
        found.resolve(calling("w", "again.run"), "again.run", ("top",))
    assert kept.value.reason == "CALLEE_CYCLE"


@pytest.mark.parametrize(
    ("attached", "reason", "says"),
    [
        ((), "CALLEE_NOT_INSTALLED", "hardpoint install"),
        ((installed(calling("b"), on=False, priority=0),), "CALLEE_DISABLED", "enable"),
        (
            (installed(calling("b"), priority=1), installed(calling("b"), priority=1, name="b2")),
            "CALLEE_AMBIGUOUS",
            "priority",
        ),
        ((installed(release("b"), priority=0),), "CALLEE_UNKNOWN", "b.get-weather"),
        (
            (installed(replace(calling("b"), kind="WORKFLOW"), priority=0),),
            "CALLEE_WORKFLOW",
            "from a step of a workflow",
        ),
    ],
)
def test_what_cannot_be_called_is_refused_by_name(attached: tuple[Installed, ...], reason: str, says: str) -> None:
    found = only(directory(attached=attached).callees(calling("top", "b.run")))
    assert isinstance(found, Refused)
    assert (found.name, found.reason) == ("b.run", reason)
    assert says in found.fix
    assert found.error.metadata["callee"] == "b.run"


def test_switching_the_attachment_off_does_not_open_the_installation_of_that_name() -> None:
    off = installed(calling("b"), on=False, priority=0)
    found = only(directory(installed(calling("b")), attached=(off,)).callees(calling("top", "b.run")))
    assert isinstance(found, Refused)
    assert found.reason == "CALLEE_DISABLED"


def test_a_cycle_is_refused_with_its_path() -> None:
    top = calling("top", "b.run")
    found = directory(installed(top), installed(calling("b", "c.run")), installed(calling("c", "top.run")))
    b = found.resolve(top, "b.run")
    c = only(b.callees)
    assert isinstance(c, Callee)
    back = only(c.callees)
    assert isinstance(back, Refused)
    assert (back.reason, back.facts["cycle"]) == ("CALLEE_CYCLE", "top -> b.run -> c.run -> top.run")


def test_calls_within_calls_end_somewhere() -> None:
    chain = [installed(calling(f"c{n}", f"c{n + 1}.run")) for n in range(DEEPEST + 3)]
    found: Callee | Refused = only(directory(*chain).callees(calling("top", "c0.run")))
    depth = 0
    while isinstance(found, Callee):
        depth += 1
        found = only(found.callees)
    assert (depth, found.reason) == (DEEPEST, "CALLEE_LIMIT")


def test_capabilities_that_all_call_each_other_do_not_multiply_without_end() -> None:
    names = [f"c{n}" for n in range(12)]
    everyone = [installed(calling(name, *(f"{other}.run" for other in names if other != name))) for name in names]

    def count(callees: tuple[Callee | Refused, ...]) -> int:
        return sum(1 + count(one.callees) for one in callees if isinstance(one, Callee))

    assert count(directory(*everyone).callees(calling("top", "c0.run"))) <= MOST


def test_what_is_not_declared_is_not_resolved() -> None:
    with pytest.raises(Conflict) as refused:
        directory(installed(calling("b"))).resolve(calling("top", "b.run"), "b.rum")
    assert (refused.value.reason, refused.value.fix) == ("CALLEE_NOT_DECLARED", "did you mean b.run?")


def test_only_a_step_of_a_workflow_reaches_another_workflow() -> None:
    """At most so many above each other, and none that stands above it already; not through what the step calls."""
    b = installed(replace(calling("b", "c.run"), kind="WORKFLOW"))
    found = directory(b, installed(calling("c")), installed(calling("flow", "b.run")))
    top = calling("top", "b.run", "flow.run")
    assert found.resolve(top, "b.run").callees == ()  # its own run resolves them
    refused = only(found.resolve(top, "flow.run").callees)
    assert isinstance(refused, Refused)
    assert refused.reason == "CALLEE_WORKFLOW"
    for above, reason in ((("b",), "CALLEE_CYCLE"), (tuple(f"w{n}" for n in range(DEEPEST)), "CALLEE_LIMIT")):
        with pytest.raises(Conflict) as kept:
            found.resolve(top, "b.run", above)
        assert kept.value.reason == reason


async def attach_top(client: Client, fakes: Fakes, *others: Release) -> None:
    fakes.registry.add(calling("top", "b.run"), *others)
    await client.create_agent()
    await client.install("orgs/acme/capabilities/top", Grants(permissions=["network.http.get"]))
    await client.attach("orgs/acme/installations/top")


async def call_top(client: Client, fakes: Fakes) -> Execution:
    await client.call("top.run")
    return fakes.executor.executions[-1]


async def test_an_execution_has_its_callees_with_tickets(client: Client, fakes: Fakes) -> None:
    b = calling("b", asks=POST, requirements=(API_KEY,))
    await attach_top(client, fakes, b)
    await client.install("orgs/acme/capabilities/b", Grants(permissions=["network.http.post"]))
    execution = await call_top(client, fakes)
    allowed = only(execution.callees)  # type: ignore[arg-type]
    assert isinstance(allowed, Allowed)
    assert allowed.callee.installed.release == b
    assert allowed.callee.authority == Authority(frozenset({"network.http.post"}))
    assert (allowed.artifact_ticket[:9], allowed.lease_token) == ("artifact-", "lease-1")
    assert execution.idempotency_key == str(execution.run)


async def test_what_changes_of_a_callee_is_known_to_the_next_call(
    client: Client, fakes: Fakes, another: Another, dial: Dial
) -> None:
    await attach_top(client, fakes, calling("b", asks=POST))
    here, there = client, dial(await another())

    async def reason(of: Client) -> str:
        found = only((await call_top(of, fakes)).callees)  # type: ignore[arg-type]
        return found.reason if isinstance(found, Refused) else "allowed"

    async def both(wanted: str) -> bool:
        return [await reason(here), await reason(there)] == [wanted, wanted]

    await eventually(lambda: both("CALLEE_NOT_INSTALLED"))
    await client.install("orgs/acme/capabilities/b")
    assert await reason(here) == "allowed"
    await eventually(lambda: both("allowed"))
    name = "orgs/acme/installations/b"
    await client.installations.DisableInstallation(installation_pb2.DisableInstallationRequest(name=name))
    assert await reason(here) == "CALLEE_DISABLED"
    await eventually(lambda: both("CALLEE_DISABLED"))
    await client.installations.DeleteInstallation(installation_pb2.DeleteInstallationRequest(name=name))
    assert await reason(here) == "CALLEE_NOT_INSTALLED"
    await eventually(lambda: both("CALLEE_NOT_INSTALLED"))


async def test_a_test_of_a_draft_calls_what_the_org_installed(client: Client, fakes: Fakes) -> None:
    fakes.registry.add(calling("top", "b.run"), calling("b"))
    await client.install("orgs/acme/capabilities/b")
    request = agent_pb2.TestActionRequest(release="orgs/acme/capabilities/top/releases/1.0.0", action="run")
    await client.agents.TestAction(request)
    assert isinstance(only(fakes.executor.executions[0].callees), Allowed)  # type: ignore[arg-type]


STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def inner(path: str, error: ActionFailed | None = None) -> Inner:
    state = RunState.FAILED if error else RunState.SUCCEEDED
    used = Authority(frozenset({"network.http.post"}), frozenset({"api.weather.com"}))
    name = ReleaseName("acme", "b", "1.0.0")
    where = "orgs/acme/installations/b"
    return Inner(path, "b.run", name, state, Failure.of(error), STARTED, 1500, Usage(wall_ms=1.5), where, used)


async def test_what_ran_inside_is_recorded_and_counted_with_the_run(client: Client, fakes: Fakes, query: Query) -> None:
    await attach_top(client, fakes, calling("b", asks=POST))
    await client.install("orgs/acme/capabilities/b", Grants(permissions=["network.http.post"]))

    async def behave(execution: Execution) -> Ended:
        steps = (inner("b.run"), inner("b.run#2", ActionFailed("it broke", fix="mend it")))
        return Ended(RunState.SUCCEEDED, to_value(1), None, Usage(wall_ms=9.0), Authority(), steps)

    fakes.executor.behave = behave
    answer = await client.call("top.run")
    listed = (await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=answer.run))).steps
    assert [(step.name, step.path, step.action) for step in listed] == [
        (f"{answer.run}/steps/1", "b.run", "b.run"),
        (f"{answer.run}/steps/2", "b.run#2", "b.run"),
    ]
    assert [(step.state, step.reason, step.message) for step in listed] == [
        (run_pb2.RUN_STATE_SUCCEEDED, "", ""),
        (run_pb2.RUN_STATE_FAILED, "USER_ERROR", "it broke"),
    ]
    assert (listed[0].duration_ms, listed[0].usage.wall_ms) == (1.5, 1.5)
    request = installation_pb2.GetInstallationRequest(name="orgs/acme/installations/b")
    called_one = await client.installations.GetInstallation(request)
    assert (called_one.counters.execution_count, called_one.counters.error_count) == (2, 1)
    assert {use.grant: use.execution_count for use in called_one.grant_uses} == {"network.http.post": 2}
    assert await query("SELECT count(*) FROM runs") == [(1,)]


async def test_a_run_without_inner_steps_is_its_own_only_step(attached: Client, query: Query) -> None:
    answer = await attached.call()
    (step,) = (await attached.runs.ListSteps(run_pb2.ListStepsRequest(parent=answer.run))).steps
    assert (step.name, step.action, step.path) == (f"{answer.run}/steps/1", "weather.get-weather", "")
    assert await query("SELECT count(*) FROM inner_steps") == [(0,)]


async def test_tickets_that_a_callee_was_refused_with_are_not_used_again(client: Client, fakes: Fakes) -> None:
    await attach_top(client, fakes, calling("b"))
    await client.install("orgs/acme/capabilities/b")
    first = only((await call_top(client, fakes)).callees)  # type: ignore[arg-type]
    assert only((await call_top(client, fakes)).callees) == first  # type: ignore[arg-type]

    async def refuse(_execution: Execution) -> Ended:
        spent = inner("b.run", ActionFailed("the ticket is spent", reason="TICKET_INVALID"))
        return Ended(RunState.FAILED, None, ActionFailed("no"), Usage(), Authority(), (spent,))

    kept, fakes.executor.behave = fakes.executor.behave, refuse
    with pytest.raises(ActionFailed):
        await client.call("top.run")
    fakes.executor.behave = kept
    renewed = only((await call_top(client, fakes)).callees)  # type: ignore[arg-type]
    assert isinstance(first, Allowed)
    assert isinstance(renewed, Allowed)
    assert renewed.artifact_ticket != first.artifact_ticket


async def test_one_step_of_a_draft_has_what_is_pinned_and_any_input(client: Client, fakes: Fakes) -> None:
    fakes.registry.add(release())
    request = agent_pb2.TestActionRequest(
        release="orgs/acme/capabilities/weather/releases/1.0.0", action="get-weather", step="format"
    )
    request.steps.update({"fetch": {"name": "Ann"}})
    await client.agents.TestAction(request)
    assert fakes.executor.executions[0].alone == Alone("format", {"fetch": {"name": "Ann"}})
