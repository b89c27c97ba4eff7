"""Whom a call is for: nobody says that of somebody else but who may, and nobody has a lease that is another's."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hardpoint.runtime.v1 import agent_pb2, run_pb2, trigger_pb2
from hardpoint_kit.caller import Caller
from hardpoint_kit.documents import to_struct
from hardpoint_kit.errors import Conflict, HardpointError, NotFound, PermissionDenied
from hardpoint_kit.names import SettingsName
from hardpoint_kit.rpc.client import channel
from runtime.conftest import AGENT, ATTACHMENT, TOOL, Client, Dial, Fakes
from runtime.factories import API_KEY, action, release
from runtime.test_calls import watched
from runtime.test_events import walking
from runtime.triggers import create, history, settled, slack_event
from runtime.workflows import output, steps, until

SETTINGS = "orgs/acme/settings/weather"
__all__ = ["walking"]


@pytest.fixture
async def connected(client: Client, fakes: Fakes) -> Client:
    """An admin of acme whose agent calls what each person signs in to."""
    fakes.registry.add(release(requirements=(API_KEY,)))
    fakes.config.keys[SETTINGS] = {"API_KEY"}
    fakes.config.per_user = True
    await client.create_agent()
    await client.install()
    await client.attach()
    await watched(fakes)
    return client


async def call(client: Client, on_behalf_of: str = "") -> agent_pb2.CallActionResponse:
    request = agent_pb2.CallActionRequest(
        agent=AGENT, action=TOOL, input=to_struct({"location": "Oslo"}), on_behalf_of=on_behalf_of
    )
    return await client.agents.CallAction(request, timeout=30)


def lent(fakes: Fakes) -> dict[str, set[str]]:
    """The leases that executions had, by whom they were for."""
    found: dict[str, set[str]] = {}
    for execution in fakes.executor.executions:
        made_for = fakes.config.leased[int(execution.lease_token.removeprefix("lease-")) - 1].removeprefix(SETTINGS)
        found.setdefault(execution.user, set()).add(made_for.strip())
    return found


async def test_many_peoples_calls_at_once_have_each_their_own_lease(
    connected: Client, server: Any, dial: Dial, fakes: Fakes
) -> None:
    people = {name: dial(server, role="agent", subject=name) for name in ("anna", "bob", "eve")}
    fakes.config.not_connected = {"eve"}
    found = await asyncio.gather(*(call(client) for client in [*people.values()] * 5), return_exceptions=True)
    refused = [one for one in found if isinstance(one, HardpointError)]
    assert [(one.reason, one.metadata["user"]) for one in refused] == [("CONNECTION_NEEDS_REAUTH", "eve")] * 5
    assert lent(fakes) == {"anna": {"anna"}, "bob": {"bob"}}
    assert fakes.config.leased.count(f"{SETTINGS} anna") == 1, "a warm call asks nobody"
    fakes.config.tell((SettingsName("acme", "weather"),))
    await watched(fakes)
    await call(people["anna"])
    assert fakes.config.leased.count(f"{SETTINGS} anna") == 2


async def test_who_may_sign_the_org_in_is_shown_where_and_nobody_else(
    connected: Client, server: Any, keys: Any, cleanup: Any, fakes: Fakes
) -> None:
    fakes.config.per_user, fakes.config.lost = False, True

    def as_one(subject: str, *roles: str) -> Client:
        opened = channel(f"127.0.0.1:{server.port}", token=keys.mint(subject, "acme", roles))
        cleanup.push_async_callback(opened.close)
        return Client(opened)

    asked = {
        "ada": call(as_one("ada", "admin")),
        "ops": call(as_one("ops", "operator")),
        "bot": call(as_one("bot", "agent")),
        # What is said to a program that calls for somebody is said to them.
        "for eve": call(as_one("for eve", "operator", "delegate"), "eve"),
    }
    found = await asyncio.gather(*asked.values(), return_exceptions=True)
    refused = [one for one in found if isinstance(one, HardpointError)]
    assert [one.reason for one in refused] == ["CONNECTION_NEEDS_REAUTH"] * 4
    links = {who: one.metadata.get("link", "").partition("=")[2] for who, one in zip(asked, refused, strict=True)}
    assert links == {"ada": "ada", "ops": "ops", "bot": "", "for eve": ""}
    fakes.config.lost = False
    await call(as_one("bot", "agent"))


@pytest.mark.parametrize("role", ["agent", "operator", "admin"])
async def test_nobody_is_somebody_else(connected: Client, server: Any, dial: Dial, fakes: Fakes, role: str) -> None:
    eve = dial(server, role=role, subject="eve")
    with pytest.raises(PermissionDenied) as refused:
        await call(eve, "anna")
    assert refused.value.reason == "NOT_A_DELEGATE"
    with pytest.raises(PermissionDenied):
        await eve.runs.StartRun(run_pb2.StartRunRequest(agent=AGENT, action=TOOL, on_behalf_of="anna"))
    assert fakes.executor.executions == []
    await call(eve, "eve")
    assert lent(fakes) == {"eve": {"eve"}}


async def test_a_delegate_says_whom_it_calls_for(
    connected: Client, server: Any, keys: Any, cleanup: Any, fakes: Fakes
) -> None:
    def as_bot(org: str) -> Client:
        opened = channel(f"127.0.0.1:{server.port}", token=keys.mint("bot", org, {"agent", "delegate"}))
        cleanup.push_async_callback(opened.close)
        return Client(opened)

    bot = as_bot("acme")
    for user in ("anna", "", "bob"):
        answer = await call(bot, user)
    assert lent(fakes) == {"anna": {"anna"}, "bot": {"bot"}, "bob": {"bob"}}
    run = await connected.runs.GetRun(run_pb2.GetRunRequest(name=answer.run))
    assert (run.subject, run.on_behalf_of) == ("bot", "bob")
    with pytest.raises(NotFound):
        await call(as_bot("other"), "anna")


async def test_a_trigger_runs_as_who_made_it_until_somebody_changes_it(
    connected: Client, server: Any, dial: Dial, fakes: Fakes, deliver: Callable[..., Any]
) -> None:
    anna = dial(server, role="operator", subject="anna")
    made = await create(anna)
    assert made.made_by == "anna"
    await deliver(made, slack_event(event_id="Ev1"))
    await settled(connected, "DELIVERED")
    bob = dial(server, role="operator", subject="bob")
    changed = await bob.triggers.UpdateTrigger(
        trigger_pb2.UpdateTriggerRequest(
            trigger=trigger_pb2.Trigger(name=made.name, display_name="mine"), update_mask={"paths": ["display_name"]}
        )
    )
    assert changed.made_by == "bob"
    await deliver(made, slack_event(event_id="Ev2"))
    await settled(connected, "DELIVERED", "DELIVERED")
    assert [execution.user for execution in fakes.executor.executions] == ["anna", "bob"]
    assert lent(fakes) == {"anna": {"anna"}, "bob": {"bob"}}


async def test_who_has_an_event_run_with_another_release_uses_accounts_of_their_own(
    connected: Client, server: Any, dial: Dial, fakes: Fakes, deliver: Callable[..., Any], clock: Any
) -> None:
    made = await create(dial(server, role="operator", subject="anna"))
    await deliver(made, slack_event())
    await settled(connected, "DELIVERED")
    (past,) = await history(connected)
    newer = release(version="2.0.0", requirements=(API_KEY,))
    fakes.registry.add(newer)
    bob = dial(server, role="operator", subject="bob")
    for named in ("", str(newer.name)):
        clock.move(seconds=1)
        await bob.triggers.ReplayDelivery(trigger_pb2.ReplayDeliveryRequest(name=past.name, release=named))
    await settled(connected, "DELIVERED", "DELIVERED", "DELIVERED")
    who = {str(one.release.name).rpartition("/")[2]: one.user for one in fakes.executor.executions}
    assert (who, len(fakes.executor.executions)) == ({"1.0.0": "anna", "2.0.0": "bob"}, 3)
    assert lent(fakes) == {"anna": {"anna"}, "bob": {"bob"}}


async def test_what_a_run_gave_is_for_whom_it_was(walking: Any, dial: Dial, fakes: Fakes) -> None:
    client = dial(walking)
    fakes.registry.add(release())
    await client.create_agent()
    await client.install()
    await client.attach()
    attachment = agent_pb2.Attachment(name=ATTACHMENT, require_approval=["get-weather"])
    update = agent_pb2.UpdateAttachmentRequest(attachment=attachment, update_mask={"paths": ["require_approval"]})
    await client.agents.UpdateAttachment(update)
    anna, bob = (dial(walking, role="agent", subject=subject) for subject in ("anna", "bob"))
    asked = agent_pb2.CallActionRequest(agent=AGENT, action=TOOL, input=to_struct({"location": "Oslo"}))
    waiting = await anna.agents.CallAction(asked, timeout=30)
    assert waiting.state == run_pb2.RUN_STATE_WAITING
    asked.run = waiting.run
    with pytest.raises(Conflict) as refused:
        await bob.agents.CallAction(asked, timeout=30)
    assert refused.value.reason == "CALL_ALTERED"
    assert (await anna.agents.CallAction(asked, timeout=30)).run == waiting.run
    (step,) = (await steps(client, waiting.run)).values()
    await client.runs.ApproveStep(run_pb2.ApproveStepRequest(step=step.name, digest=step.digest))
    ended = await until(client, waiting.run)
    with pytest.raises(NotFound):
        await output(bob, ended)
    assert [execution.user for execution in fakes.executor.executions] == ["anna"], "not who approved it"
    gave = await output(anna, ended)
    assert gave == await output(dial(walking, role="operator", subject="eve"), ended)


async def test_what_it_calls_is_for_the_same_person(client: Client, server: Any, dial: Dial, fakes: Fakes) -> None:
    fakes.config.per_user = True
    fakes.config.keys["orgs/acme/settings/store"] = {"API_KEY"}
    fakes.registry.add(
        release("store", actions=(action("save"),), requirements=(API_KEY,)),
        replace(release("top", actions=(action("run"),)), calls=("store.save",)),
    )
    await client.create_agent()
    for capability in ("store", "top"):
        await client.install(f"orgs/acme/capabilities/{capability}")
        await client.attach(f"orgs/acme/installations/{capability}")
    for subject in ("anna", "bob"):
        await dial(server, role="agent", subject=subject).call("top.run")
    made_for = [
        fakes.config.leased[int(allowed.lease_token.removeprefix("lease-")) - 1]
        for execution in fakes.executor.executions
        for allowed in execution.callees
    ]
    assert made_for == ["orgs/acme/settings/store anna", "orgs/acme/settings/store bob"]


def test_only_a_delegate_or_a_unit_acts_for_others() -> None:
    for roles in ({"agent"}, {"admin"}, {"operator", "builder"}, {"door"}):
        with pytest.raises(PermissionDenied):
            Caller("eve", "acme", frozenset(roles)).acting_for("anna")
    assert Caller("bot", "acme", frozenset({"delegate"})).acting_for("anna").user == "anna"
    assert Caller("units/runtime", "acme", frozenset({"service"})).acting_for("anna").user == "anna"
    assert Caller("eve", "acme", frozenset({"agent"})).acting_for("").user == "eve"
