"""The example of a flow that only computes: pushed, and called with what its own example gives."""

from hardpoint_manifest.check import check
from hardpoint_manifest.load import load

from .conftest import EXAMPLES


async def test_process_data_does_what_its_example_says(add, agent) -> None:
    manifest = check(load((EXAMPLES / "process-data.yaml").read_bytes(), "process-data.yaml")).manifest
    assert manifest is not None
    (example,) = manifest.examples
    await add("process-data.yaml")
    called = await agent.execute("process-data.run", example.input)
    assert called.error is None, called.error
    assert called.data == example.expected_output
    (tool,) = await agent.tools()
    assert tool.name == "process-data.run"
