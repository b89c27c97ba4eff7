"""What an organisation decides for all its code: by whom, and in force at every process for whatever runs next."""

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from hardpoint.runtime.v1 import agent_pb2, policy_pb2
from hardpoint_kit.errors import InvalidArgument, NotFound, PermissionDenied, StaleEtag
from hardpoint_runtime.domain.releases import Release
from runtime.conftest import Another, Client, Dial, Fakes, Query, eventually

NAME = "orgs/acme/policy"


async def shown(client: Client) -> policy_pb2.Policy:
    return await client.policy.GetPolicy(policy_pb2.GetPolicyRequest(name=NAME))


async def decide(client: Client, etag: str = "", request_id: str = "", **switches: bool) -> policy_pb2.Policy:
    return await client.policy.UpdatePolicy(
        policy_pb2.UpdatePolicyRequest(
            policy=policy_pb2.Policy(name=NAME, etag=etag, **switches),  # type: ignore[arg-type]
            update_mask=FieldMask(paths=[*switches]),
            request_id=request_id,
        )
    )


def tier(fakes: Fakes) -> tuple[bool, bool]:
    """What the executor was told of the policy last."""
    asked = fakes.executor.executions[-1]
    return asked.single_use, asked.shared_runs


async def test_it_is_off_until_an_admin_turns_it_on(client: Client, dial: Dial, server: Any, query: Query) -> None:
    before = await shown(client)
    assert (before.name, before.single_use, before.shared_runs) == (NAME, False, False)
    assert before.etag
    assert not before.HasField("update_time")

    first = await decide(client, before.etag, "r1", single_use=True)
    assert (first.single_use, first.shared_runs) == (True, False)
    assert await decide(client, before.etag, "r1", single_use=True) == first
    with pytest.raises(StaleEtag):
        await decide(client, before.etag, shared_runs=True)
    assert (await decide(client, first.etag, shared_runs=True)).single_use, "the mask does not name it"
    assert (await client.events())[-2:] == [f"policy.update {NAME}"] * 2
    with pytest.raises(InvalidArgument):
        await client.policy.UpdatePolicy(
            policy_pb2.UpdatePolicyRequest(policy=policy_pb2.Policy(name=NAME), update_mask=FieldMask(paths=["name"]))
        )

    operator = dial(server, role="operator")
    assert (await shown(operator)).shared_runs
    with pytest.raises(PermissionDenied):
        await decide(operator, single_use=False)
    with pytest.raises(PermissionDenied):
        await shown(dial(server, role="agent"))
    with pytest.raises(NotFound):
        await shown(dial(server, "globex"))
    with pytest.raises(NotFound):
        await decide(dial(server, "globex"), single_use=False)
    assert await query("SELECT org FROM policies", "globex") == []
    assert await query("SELECT org FROM policies", "acme") == [("acme",)]


async def test_calls_and_tests_are_executed_as_it_says_at_every_process(
    attached: Client, weather: Release, another: Another, dial: Dial, fakes: Fakes, query: Query
) -> None:
    other = dial(await another())
    for client in (attached, other):
        await client.call()
        assert tier(fakes) == (False, False)

    await decide(attached, single_use=True, shared_runs=True)
    await attached.call()
    assert tier(fakes) == (True, True)
    test = agent_pb2.TestActionRequest(release=str(weather.name), action="get-weather")
    test.input.update({"location": "Rome"})
    await attached.agents.TestAction(test)
    assert tier(fakes) == (True, True)

    async def heard() -> bool:
        await other.call()
        return tier(fakes) == (True, True)

    await eventually(heard, 2.0)
    await query("UPDATE policies SET single_use = false")
    await attached.call()
    assert tier(fakes) == (True, True), "a warm call reads nothing"
