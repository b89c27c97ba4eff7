"""What an agent knows reaches the code that it calls, by a callee too, as far as each was granted."""

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint_client import Agent, CallContext, Hardpoint
from hardpoint_client.files import handle_of
from hardpoint_kit.errors import ActionFailed

from .conftest import add_file

LETTERS = b"""
from hardpoint_sdk import action, capability

@capability(id="letters", name="Letters", version="1.0.0", description="Writes letters", calls=["names.whom"],
            permissions=["context.user", "context.conversation", "context.files", "file.read", "compute.heavy"])
class Letters:
    @action(description="Write a letter")
    async def write(self, input):
        files = await self.context.files()
        said = await self.context.conversation()
        notes = [(await self.file.open(file)).decode() for file in files]
        return [await self.call("names.whom", {}), said["messages"][-1]["text"], *notes]
"""
NAMES = b"""
export default {
  id: 'names', name: 'Names', version: '1.0.0', description: 'Knows names', engine: 'quickjs',
  permissions: ['context.user', 'compute.heavy'],
  actions: {
    async whom() {
      const { name } = await this.context.user();
      return `${Object.keys(await this.context.get()).includes('files')} ${name}`;
    },
  },
};
"""


async def test_what_an_agent_knows_reaches_what_it_calls(client: Hardpoint, agent: Agent) -> None:
    await add_file(client, agent, NAMES, "names.js")
    grants = ["context.user", "context.conversation", "context.files", "file.read", "compute.heavy"]
    await add_file(client, agent, LETTERS, "letters.py", grants=manifest_pb2.Authority(permissions=grants))
    notes = await client.upload_file(b"buy milk", "notes.txt")
    said = {"messages": [{"role": "user", "text": "write it down"}]}
    known = CallContext({"name": "Ada"}, said, [handle_of(notes)])
    answer = await agent.execute("letters.write", context=known)
    assert answer.error is None
    assert answer.data == ["false Ada", "write it down", "buy milk"]


async def test_a_part_that_is_not_granted_says_what_to_do(client: Hardpoint, agent: Agent) -> None:
    grants = manifest_pb2.Authority(permissions=["context.user", "context.conversation", "compute.heavy"])
    await add_file(client, agent, LETTERS, "letters.py", grants=grants)
    answer = await agent.execute("letters.write", context=CallContext(files=["nothing-that-is-there"]))
    assert isinstance(answer.error, ActionFailed)
    assert answer.error.reason == "PERMISSION_NOT_GRANTED"
    assert answer.error.fix == 'grant "context.files" to the installation'
