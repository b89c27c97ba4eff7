"""Installations with a name of their own: what they are called by, whom that is for, and that no name hides another."""

import asyncio
from dataclasses import replace

import pytest

from hardpoint.manifest.v1.manifest_pb2 import Authority as Grants
from hardpoint.runtime.v1 import agent_pb2, installation_pb2, run_pb2, trigger_pb2
from hardpoint_kit.errors import AlreadyExists, Conflict, HardpointError, InvalidArgument, NotFound
from hardpoint_kit.rpc.server import Server
from hardpoint_manifest.authority import Authority
from hardpoint_runtime.domain.executions import Allowed
from hardpoint_runtime.domain.releases import DeclaredTrigger
from runtime.conftest import AGENT, Another, Client, Deliver, Dial, Fakes, Query, eventually
from runtime.factories import API_KEY, action, release
from runtime.triggers import history, settled

GET = Grants(permissions=["network.http.get", "compute.light"], hosts=["api.weather.com"])
FREE = {"type": "object"}


async def named(client: Client, name: str = "mine", **more: object) -> installation_pb2.Installation:
    return await client.install(installation_id=name, own_name=True, **more)


async def attach(client: Client, *names: str) -> None:
    for name in names:
        await client.attach(f"orgs/acme/installations/{name}")


@pytest.fixture
async def two(client: Client, fakes: Fakes) -> Client:
    """`helper` has the capability `weather` twice: as it is, without grants, and as `mine`, with all and a key."""
    fakes.registry.add(release(requirements=(API_KEY,)))
    await client.create_agent()
    for name in ("weather", "mine"):
        fakes.config.keys[f"orgs/acme/settings/{name}"] = {"API_KEY"}
    await client.install()
    await named(client, grants=GET)
    await attach(client, "weather", "mine")
    return client


async def test_each_call_has_the_settings_grants_and_counters_of_the_one_it_names(two: Client, fakes: Fakes) -> None:
    tools = (await two.agents.ListTools(agent_pb2.ListToolsRequest(agent=AGENT))).tools
    assert [(tool.name, tool.installation.rpartition("/")[2]) for tool in tools] == [
        ("mine.get-weather", "mine"),
        ("weather.get-weather", "weather"),
    ]
    for name in ("mine", "weather", "mine"):
        answer = await two.call(f"{name}.get-weather")
        run = await two.runs.GetRun(run_pb2.GetRunRequest(name=answer.run))
        assert (run.action, run.release) == (f"{name}.get-weather", "orgs/acme/capabilities/weather/releases/1.0.0")
    mine, plain, again = fakes.executor.executions
    assert plain.authority == Authority()
    assert mine.authority == again.authority == release().asks
    assert [leased.partition(" ")[0] for leased in fakes.config.leased] == [
        "orgs/acme/settings/mine",
        "orgs/acme/settings/weather",
    ]
    assert mine.lease_token == again.lease_token != plain.lease_token
    listed = await two.installations.ListInstallations(installation_pb2.ListInstallationsRequest(parent="orgs/acme"))
    assert [(one.own_name, one.counters.execution_count) for one in listed.installations] == [(True, 2), (False, 1)]


async def test_it_is_not_called_as_the_capability(client: Client, fakes: Fakes) -> None:
    """So what `weather.get-weather` reaches is the same before and after, whatever the priority."""
    fakes.registry.add(release())
    await client.create_agent()
    await client.install()
    await named(client, grants=GET)
    await attach(client, "weather")
    await client.attach("orgs/acme/installations/mine", priority=1000)
    await client.call("weather.get-weather")
    assert fakes.executor.executions[0].authority == Authority()
    await client.detach(f"{AGENT}/attachments/weather")
    with pytest.raises(NotFound) as refused:
        await client.call("weather.get-weather")
    assert "weather was detached at " in refused.value.message
    assert await client.tools() == ["mine.get-weather"]
    await client.detach(f"{AGENT}/attachments/mine")
    with pytest.raises(NotFound) as refused:
        await client.call("mine.get-weather")
    assert "mine was detached at " in refused.value.message
    assert refused.value.fix == "attach it: hardpoint attach helper mine"


async def test_no_name_is_that_of_another(client: Client, fakes: Fakes) -> None:
    fakes.registry.add(release(), release("maps"), release("mine"), release("mine", org="publisher"))
    await client.install()
    await named(client)
    taken = [
        ("orgs/acme/capabilities/maps", "weather-2", False, ""),
        ("orgs/acme/capabilities/mine", "mine-2", False, "mine"),
        ("orgs/publisher/capabilities/mine", "theirs", False, "mine"),
    ]
    for capability, id, own_name, other in taken:
        request = {"capability": capability, "installation_id": id, "own_name": own_name}
        for validate_only in (True, False):
            if not other:
                await client.install(**request, validate_only=validate_only)
                continue
            with pytest.raises(Conflict) as refused:
                await client.install(**request, validate_only=validate_only)
            assert refused.value.reason == "NAME_TAKEN"
            assert refused.value.metadata["installation"] == f"orgs/acme/installations/{other}"
            assert refused.value.fix
    await client.install("orgs/publisher/capabilities/mine", installation_id="theirs", own_name=True)


async def test_a_name_may_not_be_what_others_are_called_by(client: Client, fakes: Fakes) -> None:
    fakes.registry.add(release(), release("maps"))
    await client.install(installation_id="other-id")
    for validate_only in (True, False):
        with pytest.raises(Conflict) as refused:
            await named(client, "weather", capability="orgs/acme/capabilities/maps", validate_only=validate_only)
        assert refused.value.reason == "NAME_TAKEN"
        assert refused.value.metadata["installation"] == "orgs/acme/installations/other-id"
    with pytest.raises(AlreadyExists):
        await named(client, "other-id")
    with pytest.raises(Conflict) as standard:
        await named(client, "database")
    assert (standard.value.reason, standard.value.metadata["prefix"]) == ("NAME_TAKEN", "database")
    for id in ("", "weather"):
        with pytest.raises(InvalidArgument):
            await named(client, id)
    with pytest.raises(InvalidArgument):
        await named(client, "Not.A-Name")


async def test_of_two_that_would_be_called_the_same_one_is_made(client: Client, fakes: Fakes, query: Query) -> None:
    fakes.registry.add(release(), *(release(f"c{n}") for n in range(6)))
    made = await asyncio.gather(
        *(named(client, f"c{n}") for n in range(6)),
        *(client.install(f"orgs/acme/capabilities/c{n}", installation_id=f"id-{n}") for n in range(6)),
        return_exceptions=True,
    )
    for pair in zip(made[:6], made[6:], strict=True):
        (refused,) = [one for one in pair if isinstance(one, BaseException)]
        assert isinstance(refused, Conflict)
        assert refused.reason == "NAME_TAKEN"
    assert await query("SELECT count(*) FROM installations") == [(6,)]


async def test_it_keeps_its_name_for_good(client: Client, fakes: Fakes) -> None:
    fakes.registry.add(release())
    made = await named(client)
    without = installation_pb2.Installation(name=made.name, own_name=False)
    request = installation_pb2.UpdateInstallationRequest(installation=without)
    request.update_mask.paths.append("own_name")
    with pytest.raises(InvalidArgument):
        await client.installations.UpdateInstallation(request)
    fakes.registry.add(release(version="2.0.0"))
    request.update_mask.paths[:] = ["constraint"]
    changed = await client.installations.UpdateInstallation(request)
    assert (changed.own_name, changed.release[-5:]) == (True, "2.0.0")
    assert (await client.install(installation_id="plain")).own_name is False


async def test_code_of_the_org_calls_it_by_name_and_that_of_others_does_not(
    client: Client, fakes: Fakes, another: Another, dial: Dial
) -> None:
    asks = Authority(frozenset({"network.http.get"}))
    for org in ("acme", "publisher"):
        top = release(f"{org}-top", org=org, actions=(action("run", FREE),), asks=asks)
        fakes.registry.add(replace(top, calls=("mine.get-weather",)))
    fakes.registry.add(release())
    await client.create_agent()
    for org in ("acme", "publisher"):
        await client.install(f"orgs/{org}/capabilities/{org}-top", Grants(permissions=["network.http.get"]))
        await attach(client, f"{org}-top")
    here, there = client, dial(await another())

    async def found(of: Client, org: str) -> str:
        await of.call(f"{org}-top.run")
        (callee,) = fakes.executor.executions[-1].callees
        return str(callee.callee.installed.name) if isinstance(callee, Allowed) else callee.reason

    for of in (here, there):
        assert await found(of, "acme") == "CALLEE_NOT_INSTALLED"
    await named(client, grants=GET)

    async def everywhere() -> bool:
        return [await found(of, "acme") for of in (here, there)] == ["orgs/acme/installations/mine"] * 2

    await eventually(everywhere)
    await attach(client, "mine")
    for of in (here, there):
        assert await found(of, "acme") == "orgs/acme/installations/mine"
        assert await found(of, "publisher") == "CALLEE_NOT_INSTALLED"


async def test_another_org_has_its_own_of_that_name(two: Client, dial: Dial, server: Server) -> None:
    other = dial(server, "globex", "admin", "gil")
    made = await other.installations.CreateInstallation(
        installation_pb2.CreateInstallationRequest(
            parent="orgs/globex", capability="orgs/acme/capabilities/weather", installation_id="mine", own_name=True
        )
    )
    assert made.name == "orgs/globex/installations/mine"
    with pytest.raises(HardpointError) as refused:
        await other.call("mine.get-weather")
    assert refused.value.reason == "NOT_FOUND"


async def test_a_trigger_runs_it_by_name_and_its_past_events_with_its_own_releases(
    client: Client, fakes: Fakes, deliver: Deliver, clock
) -> None:
    declared = DeclaredTrigger("hook", "webhook", action="get-weather", input={"location": "${event.place}"})
    fakes.registry.add(replace(release(), triggers=(declared,)))
    await client.create_agent()
    await client.install()
    await named(client, grants=GET)
    await attach(client, "weather", "mine")
    request = trigger_pb2.CreateTriggerRequest(parent=AGENT, trigger_id="hook")
    request.trigger.declared = "mine.hook"
    request.trigger.allow_unsigned = True
    hook = await client.triggers.CreateTrigger(request)
    assert hook.action == "mine.get-weather"
    await deliver(hook, b'{"place": "Oslo"}')
    await settled(client, "DELIVERED")
    assert fakes.executor.executions[-1].authority == release().asks
    fakes.registry.add(release(version="2.0.0"))
    (past,) = await history(client)
    clock.move(seconds=1)
    again = trigger_pb2.ReplayDeliveryRequest(name=past.name, release="orgs/acme/capabilities/weather/releases/2.0.0")
    await client.triggers.ReplayDelivery(again)
    await settled(client, "DELIVERED", "DELIVERED")
    again.release = "orgs/acme/capabilities/mine/releases/1.0.0"
    with pytest.raises(InvalidArgument):
        await client.triggers.ReplayDelivery(again)


async def test_the_audit_log_says_what_it_is_called_by(client: Client, fakes: Fakes, query: Query) -> None:
    fakes.registry.add(release())
    await named(client)
    rows = await query("SELECT facts ->> 'prefix' FROM audit_events WHERE action = 'installation.create'")
    assert rows == [("mine",)]
