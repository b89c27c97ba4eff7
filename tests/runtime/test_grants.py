"""What is known of the use of grants: counted with the runs, by the grant that made the use possible."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.runtime.v1 import agent_pb2, installation_pb2
from hardpoint_kit.documents import to_struct, to_value
from hardpoint_kit.errors import ActionFailed
from hardpoint_manifest.authority import Authority
from hardpoint_runtime.domain.executions import Ended, Execution
from hardpoint_runtime.domain.grants import GrantUse, exercised
from hardpoint_runtime.domain.runs import RunState, Usage
from runtime.conftest import INSTALLATION, Another, Client, Dial, Fakes, Query
from runtime.factories import release
from runtime.test_domain import NOW
from serving import SetClock

ALL = manifest_pb2.Authority(permissions=["compute.light", "network.http.get"], hosts=["api.weather.com"])


def using(*permissions: str, hosts: tuple[str, ...] = ()) -> Callable[[Execution], Awaitable[Ended]]:
    async def use(_execution: Execution) -> Ended:
        used = Authority(frozenset(permissions), frozenset(hosts))
        return Ended(RunState.SUCCEEDED, to_value({}), None, Usage(), used)

    return use


async def shown(client: Client) -> installation_pb2.Installation:
    return await client.installations.GetInstallation(installation_pb2.GetInstallationRequest(name=INSTALLATION))


async def uses(client: Client) -> dict[str, int]:
    return {use.grant: use.execution_count for use in (await shown(client)).grant_uses}


@pytest.fixture
async def granted(client: Client, fakes: Fakes) -> Client:
    """An agent that may call the weather with all that it asks granted."""
    fakes.registry.add(release())
    await client.create_agent()
    await client.install(grants=ALL)
    await client.attach()
    return client


async def test_what_executions_use_is_kept_by_grant(granted: Client, fakes: Fakes, clock: SetClock) -> None:
    began = clock.now()
    assert await uses(granted) == {"compute.light": 0, "network.http.get": 0, "api.weather.com": 0}
    clock.move(seconds=60)
    fakes.executor.behave = using("network.http.get", hosts=("api.weather.com",))
    answer = await granted.call()
    assert list(answer.used.hosts) == ["api.weather.com"]
    await granted.call()
    found = await shown(granted)
    by_grant = {use.grant: use for use in found.grant_uses}
    assert {name: use.execution_count for name, use in by_grant.items()} == {
        "compute.light": 0,
        "network.http.get": 2,
        "api.weather.com": 2,
    }
    assert by_grant["api.weather.com"].last_used.ToDatetime(tzinfo=began.tzinfo) >= began + timedelta(seconds=60)
    assert not by_grant["compute.light"].HasField("last_used")
    assert found.grant_time.ToDatetime(tzinfo=began.tzinfo) == began
    request = installation_pb2.ListInstallationsRequest(parent="orgs/acme")
    (listed,) = (await granted.installations.ListInstallations(request)).installations
    assert listed.grant_uses == found.grant_uses


async def test_processes_write_rows_of_their_own(
    granted: Client, fakes: Fakes, another: Another, dial: Dial, query: Query
) -> None:
    fakes.executor.behave = using("compute.light")
    other = dial(await another())
    await asyncio.gather(*(client.call() for client in (granted, other) for _ in range(5)))
    assert (await uses(granted))["compute.light"] == 10
    assert await query("SELECT count(DISTINCT writer), count(*) FROM grant_uses") == [(2, 2)]
    assert await query("SELECT count(*) FROM grant_uses", org="umbrella") == [(0,)]


async def test_an_execution_that_fails_used_what_it_used(granted: Client, fakes: Fakes) -> None:
    async def fail(_execution: Execution) -> Ended:
        used = Authority(frozenset({"compute.light"}), frozenset())
        return Ended(RunState.FAILED, None, ActionFailed("no"), Usage(), used)

    fakes.executor.behave = fail
    with pytest.raises(ActionFailed):
        await granted.call()
    assert (await uses(granted))["compute.light"] == 1


async def test_a_test_says_what_it_used_and_counts_for_nobody(granted: Client, fakes: Fakes, query: Query) -> None:
    fakes.executor.behave = using("compute.light")
    request = agent_pb2.TestActionRequest(
        release=str(release().name), action="get-weather", input=to_struct({"location": "x"})
    )
    answer = await granted.agents.TestAction(request)
    assert list(answer.used.permissions) == ["compute.light"]
    assert await query("SELECT count(*) FROM grant_uses") == [(0,)]


async def test_changed_grants_are_watched_from_then_on(granted: Client, clock: SetClock) -> None:
    began = (await shown(granted)).grant_time
    clock.move(seconds=60)
    for paths, grants in ((["constraint"], ALL), (["grants"], manifest_pb2.Authority(hosts=["api.weather.com"]))):
        changed = installation_pb2.Installation(name=INSTALLATION, grants=grants)
        request = installation_pb2.UpdateInstallationRequest(installation=changed)
        request.update_mask.paths.extend(paths)
        answer = await granted.installations.UpdateInstallation(request)
        assert (answer.grant_time == began) is (paths == ["constraint"])
    assert await uses(granted) == {"api.weather.com": 0}


@pytest.mark.parametrize(
    ("grants", "used", "expected"),
    [
        ((["a"], []), (["a", "b"], []), {"a"}),
        (([], ["*.b.test"]), ([], ["x.b.test", "y.b.test"]), {"*.b.test"}),
        (([], ["*.b.test", "x.b.test"]), ([], ["x.b.test"]), {"*.b.test", "x.b.test"}),
        (([], ["b.test"]), ([], ["b.test:8443"]), set()),
        (([], ["b.test:8443"]), ([], ["b.test:8443"]), {"b.test:8443"}),
    ],
)
def test_a_use_is_that_of_every_grant_that_covers_it(
    grants: tuple[list[str], list[str]], used: tuple[list[str], list[str]], expected: set[str]
) -> None:
    assert exercised(Authority.of(*grants), Authority.of(*used)) == expected


USES = st.lists(st.builds(GrantUse, st.just("a"), st.integers(0, 9), st.none() | st.just(NOW)), min_size=1)


@given(USES, st.randoms())
def test_uses_add_up_in_any_order(given_uses: list[GrantUse], random: object) -> None:
    other = sorted(given_uses, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert sum(given_uses[1:], given_uses[0]) == sum(other[1:], other[0])
