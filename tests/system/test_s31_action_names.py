"""S31: an action name that is code, or a property that every object has, is refused before anything runs.

The runtime refuses it, so that no engine of any tier is reached; there is no run.
"""

import pytest

from hardpoint.executor.v1 import executor_pb2
from hardpoint_kit.errors import InvalidArgument, PermissionDenied

HOSTILE = ["x);process.exit(1)//", "__proto__", "constructor", "hasOwnProperty", "toString", "a.b", "../x", "a b", ""]


@pytest.mark.jail
@pytest.mark.parametrize("name", HOSTILE)
async def test_refused_by_the_runtime(client, agent, add, name):
    await add("custom-data-analyzer.js")
    response = await agent.execute(f"data-analyzer.{name}", {"dataset": "1"})
    assert isinstance(response.error, InvalidArgument)
    assert response.error.reason == "ACTION_NAME_INVALID"
    assert response.run == ""


async def test_nobody_but_a_unit_executes(client, org):
    request = executor_pb2.ExecuteRequest(
        org=f"orgs/{org}",
        execution_id="mine",
        release=f"orgs/{org}/capabilities/x/releases/1.0.0",
        digest="sha256:" + "0" * 64,
        filename="x.js",
        action={"id": "run"},
    )
    with pytest.raises(PermissionDenied):
        async for _ in client.executor.Execute(request):
            pass
