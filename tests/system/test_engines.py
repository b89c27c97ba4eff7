"""What an author can choose of the engine and its libraries, from the file to the agent's call."""

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from hardpoint.executor.v1 import executor_pb2
from hardpoint.runtime.v1 import policy_pb2

from .conftest import EXAMPLES, add_file

WHEREABOUTS = """
from hardpoint_sdk import action, capability

capability(id="ID", name="Whereabouts", version="1.0.0", description="Says where things lie" ISOLATION)


@action(effect="read")
async def look(self, input):
    return {"at": str(id(len))}
"""


COUNTER = """
from hardpoint_sdk import action, capability

capability(id="counter", name="Counter", version="1.0.0", description="Counts its calls in a jail", isolation="run")
calls = 0


@action(inputs=[{"name": "seen", "type": "array", "required": True}], effect="read")
async def count(self, input):
    global calls
    calls += 1
    return {"seen": [*input["seen"], calls]}
"""


@pytest.mark.jail
async def test_typescript_is_pushed_and_called_like_javascript(add, agent):
    await add("loan-calculator.ts")
    paid = await agent.execute("loan-calculator.monthlyPayment", {"amount": 10000, "yearlyRate": 6, "months": 12})
    assert paid.error is None, paid.error
    assert paid.data == {"payment": 860.66, "interest": 327.97}
    planned = await agent.execute("loan-calculator.schedule", {"amount": 1200, "yearlyRate": 0, "months": 3})
    assert [row["left"] for row in planned.data["rows"]] == [800, 400, 0]


@pytest.mark.jail
async def test_an_error_in_typescript_is_shown_at_the_authors_line(add, agent):
    await add("loan-calculator.ts")
    failed = await agent.execute("loan-calculator.schedule", {"amount": 1, "yearlyRate": 1, "months": 601})
    assert (failed.error.reason, failed.error.metadata["name"]) == ("USER_ERROR", "RangeError")
    lines = (EXAMPLES / "loan-calculator.ts").read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "RangeError" in text)
    assert failed.error.place == f"loan-calculator.ts:{line}:{lines[line - 1].index('new') + 1}"


@pytest.mark.jail
async def test_a_capability_calculates_with_the_library_that_it_asks_for(add, agent):
    await add("curve_fitting.py")
    fitted = await agent.execute("curve-fitting.fit", {"x": [0, 1, 2, 3], "y": [1, 3, 5, 7]})
    assert fitted.error is None, fitted.error
    assert fitted.data["coefficients"] == pytest.approx([2, 1])
    solved = await agent.execute("curve-fitting.solve", {"matrix": [[3, 1], [1, 2]], "right": [9, 8]})
    assert solved.data["unknowns"] == pytest.approx([2, 3])
    singular = await agent.execute("curve-fitting.solve", {"matrix": [[1, 1], [1, 1]], "right": [1, 2]})
    assert singular.error.metadata["name"] == "LinAlgError"
    line = next(n for n, text in enumerate((EXAMPLES / "curve_fitting.py").open(), 1) if "linalg.solve" in text)
    assert singular.error.place.startswith(f"curve_fitting.py:{line}:")


@pytest.mark.jail
async def test_strict_calls_share_no_layout_of_their_memory(client, agent):
    """Calls of a slot lie where its warm interpreter lies; an nsjail for every call is laid out anew each time."""
    seen = {}
    for id, isolation in (("usual", ""), ("alone", ', isolation="strict"')):
        source = WHEREABOUTS.replace("ID", id).replace(" ISOLATION", isolation)
        await add_file(client, agent, source.encode(), f"{id}.py")
        seen[id] = [(await agent.execute(f"{id}.look")).data["at"] for _ in range(4)]
    assert len(set(seen["usual"])) < 4
    assert len(set(seen["alone"])) == 4
    await decide(client, single_use=True)
    assert len({(await agent.execute("usual.look")).data["at"] for _ in range(4)}) == 4


async def decide(client, **switch):
    policy = policy_pb2.Policy(name=f"{client.org}/policy", **switch)
    request = policy_pb2.UpdatePolicyRequest(policy=policy, update_mask=FieldMask(paths=[*switch]))
    return await client.policy.UpdatePolicy(request)


@pytest.mark.jail
async def test_steps_of_a_run_share_a_jail_where_their_org_lets_them(client, agent, add):
    await add_file(client, agent, COUNTER.encode(), "counter.py")
    assert [(await agent.execute("counter.count", {"seen": []})).data["seen"] for _ in range(2)] == [[1], [1]]
    seen = ["${[]}", *(f"${{steps.s{number}.seen}}" for number in range(4))]
    steps = [{"id": f"s{n}", "action": "counter.count", "input": {"seen": before}} for n, before in enumerate(seen)]
    header = {"id": "counted", "name": "Counted", "version": "1.0.0", "type": "workflow"}
    await add({**header, "workflow": {"steps": steps}})

    async def counts():
        counted = await agent.execute("counted.run", {})
        assert counted.error is None, counted.error
        return counted.data["seen"]

    assert await counts() == [1] * 5, "nobody has allowed it"
    await decide(client, shared_runs=True)
    for _ in range(2):
        first, *others = await counts()
        assert first == 1
        assert max(others) > 1
    await decide(client, single_use=True)
    assert await counts() == [1] * 5, "which counts for more"


@pytest.mark.jail
async def test_an_author_can_see_what_is_offered_and_what_it_costs(client):
    found = await client.executor.ReadEngines(executor_pb2.ReadEnginesRequest(parent=client.org))
    assert ("javascript", "node") in [(engine.language, engine.id) for engine in found.engines]
    costs = {library.id: library for library in found.libraries}
    assert {"numpy", "pandas"} <= costs.keys()
    assert costs["pandas"].import_ms > 0
    assert "numpy" in costs["pandas"].needs
    assert costs["pandas"].disk_bytes > costs["numpy"].disk_bytes > 0
