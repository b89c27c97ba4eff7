"""The example of a workflow with tests: published since they hold, and run as one of them says."""

import uuid

from hardpoint.registry.v1 import registry_pb2
from hardpoint.runtime.v1 import run_pb2
from hardpoint_kit.documents import from_value, to_struct
from hardpoint_manifest.check import check
from hardpoint_manifest.load import load

from .conftest import EXAMPLES, add_file
from .orders import until

FILE = "purchase-order.yaml"


async def test_a_run_goes_as_its_example_says(client, agent):
    data = (EXAMPLES / FILE).read_bytes()
    manifest = check(load(data, FILE)).manifest
    assert manifest is not None
    example = next(one for one in manifest.examples if one.name == "refused")
    await add_file(client, agent, data, FILE, settings=example.settings)
    request = run_pb2.StartRunRequest(
        agent=agent.name, action="purchase-order.run", input=to_struct(example.input), request_id=uuid.uuid4().hex
    )
    run = await client.runs.StartRun(request)
    await until(client, run.name, run_pb2.RUN_STATE_WAITING)
    (step,) = (await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=run.name))).steps
    assert (step.path, from_value(step.shown)) == ("allow", example.steps["allow"].given)
    await client.runs.ApproveStep(run_pb2.ApproveStepRequest(step=step.name, digest=step.digest, refuse=True))
    assert (await until(client, run.name)).reason == example.expected_error


async def test_a_workflow_whose_examples_do_not_hold_is_rejected(client):
    data = (EXAMPLES / FILE).read_bytes().replace(b"rows: 1", b"rows: 2").replace(b"total: 45.0,", b"total: 46.0,")
    pushed = await client.push(data, FILE)
    rejected = await client.publish(pushed.release.name)
    assert rejected.state == registry_pb2.RELEASE_STATE_REJECTED
    (failed,) = [one for one in rejected.findings if one.rule == "example-failed"]
    assert failed.path == "capability.examples[0]"
    assert "total is 45.0, not 46.0" in failed.message
