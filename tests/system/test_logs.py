"""What code prints and logs reaches its author through the run, in both languages."""

import pytest

from hardpoint.runtime.v1 import run_pb2

from .conftest import add_file

PYTHON = b"""
from hardpoint_sdk import action, capability
capability(id="chatty", name="Chatty", version="1.0.0", description="Says what it does")
@action
async def work(self, input):
    print("printed", input["what"])
    self.log("logged", level="warning")
    raise ValueError("and it broke")
"""
JAVASCRIPT = b"""
export default {
  id: 'chatty', name: 'Chatty', version: '1.0.0', description: 'Says what it does',
  actions: {
    async work({ what }) {
      console.log('printed', what);
      this.log('logged', 'warning');
      throw new Error('and it broke');
    },
  },
};
"""


@pytest.mark.parametrize(("source", "filename"), [(PYTHON, "chatty.py"), (JAVASCRIPT, "chatty.js")], ids=["py", "js"])
async def test_what_code_says_is_kept_with_its_run(client, agent, source, filename):
    await add_file(client, agent, source, filename)
    ended = await agent.execute("chatty.work", {"what": "this"})
    assert ended.error is not None
    assert ended.error.reason == "USER_ERROR"
    run = ended.error.metadata["run"]
    lines = (await client.runs.GetRunLogs(run_pb2.GetRunLogsRequest(name=run))).lines
    assert {(line.level, line.message) for line in lines} == {("info", "printed this"), ("warning", "logged")}
