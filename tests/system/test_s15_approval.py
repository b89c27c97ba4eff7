"""S15: a call that needs approval waits for it, and runs once, unaltered."""

import pytest

from hardpoint.runtime.v1 import agent_pb2, run_pb2
from hardpoint_kit.documents import from_value, to_struct
from hardpoint_kit.errors import Conflict

from .orders import effect


async def test_s15_an_approved_call_runs_once_and_unaltered(system, client, agent, add, org):
    url = system.upstream.serve((200, {"sent": True}))
    inputs = [{"name": "to", "type": "string", "required": True}]
    await add(effect("mailer", url, inputs, params={"to": "${to}"}))
    attachment = agent_pb2.Attachment(name=f"{agent.name}/attachments/mailer", require_approval=["get"])
    update = agent_pb2.UpdateAttachmentRequest(attachment=attachment)
    update.update_mask.paths.append("require_approval")
    await client.agents.UpdateAttachment(update)

    as_agent = system.client(org, ["agent"], "the-agent")
    call = agent_pb2.CallActionRequest(agent=agent.name, action="mailer.get", input=to_struct({"to": "ada"}))
    paused = await as_agent.agents.CallAction(call, timeout=30)
    assert (paused.state, paused.reason) == (run_pb2.RUN_STATE_WAITING, "APPROVAL_REQUIRED")
    assert system.upstream.asked(url) == []
    (step,) = (await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=paused.run))).steps
    approve = run_pb2.ApproveStepRequest(step=step.name, digest=step.digest)
    with pytest.raises(Exception, match="agent") as forbidden:
        await as_agent.runs.ApproveStep(approve)
    assert forbidden.value.reason == "PERMISSION_DENIED"
    await client.runs.ApproveStep(approve)
    call.run = paused.run
    altered = agent_pb2.CallActionRequest(agent=agent.name, action="mailer.get", input=to_struct({"to": "eve"}))
    altered.run = paused.run
    with pytest.raises(Conflict) as refused:
        await as_agent.agents.CallAction(altered, timeout=30)
    assert refused.value.reason == "CALL_ALTERED"
    answer = await as_agent.agents.CallAction(call, timeout=30)
    assert from_value(answer.output) == {"sent": True}
    assert [asked.query for asked in system.upstream.asked(url)] == [{"to": "ada"}]
