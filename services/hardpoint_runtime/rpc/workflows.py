"""Owns the part of RunService that acts on runs of workflows."""

from collections.abc import AsyncIterator

from hardpoint.runtime.v1 import run_pb2
from hardpoint_kit.caller import caller
from hardpoint_kit.documents import from_struct, from_value, to_value
from hardpoint_kit.idempotency import request_fingerprint
from hardpoint_kit.names import AgentName, RunName, StepName
from hardpoint_runtime.domain.workflows import Verdict
from hardpoint_runtime.rpc.runs import RunRpc, may_approve, run_to_proto, step_run_to_proto
from hardpoint_runtime.rpc.shared import Context, context_from_proto, plan_to_proto
from hardpoint_runtime.service.runs import Runs
from hardpoint_runtime.service.steering import Steering
from hardpoint_runtime.service.step_plans import StepPlans
from hardpoint_runtime.service.workflows import Workflows


class WorkflowRpc(RunRpc):
    """RunService over the record of runs and the use cases of workflows."""

    def __init__(self, runs: Runs, workflows: Workflows, steering: Steering, step_plans: StepPlans) -> None:
        super().__init__(runs)
        self._workflows = workflows
        self._steering = steering
        self._step_plans = step_plans

    async def GetRunOutput(
        self, request: run_pb2.GetRunOutputRequest, context: Context
    ) -> run_pb2.GetRunOutputResponse:
        """Show what a run gave."""
        output = await self._workflows.output(caller(context), RunName.parse(request.name))
        return run_pb2.GetRunOutputResponse(output=to_value(output))

    async def StartRun(self, request: run_pb2.StartRunRequest, context: Context) -> run_pb2.Run:
        """Begin a run."""
        run = await self._workflows.start(
            caller(context).acting_for(request.on_behalf_of),
            AgentName.parse(request.agent, "agent"),
            request.action,
            from_struct(request.input),
            from_struct(request.trigger) if request.HasField("trigger") else None,
            context_from_proto(request.context),
            request_fingerprint(request),
        )
        return run_to_proto(run)

    async def WatchRun(
        self, request: run_pb2.WatchRunRequest, context: Context
    ) -> AsyncIterator[run_pb2.WatchRunResponse]:
        """Show a run as it changes."""
        approves = may_approve(context)
        async for change in self._workflows.watch(caller(context), RunName.parse(request.name), request.sequence):
            yield run_pb2.WatchRunResponse(
                sequence=change.sequence,
                run=run_to_proto(change.run),
                steps=[step_run_to_proto(step, approves) for step in change.steps],
            )

    async def CancelRun(self, request: run_pb2.CancelRunRequest, context: Context) -> run_pb2.Run:
        """End a run."""
        name = RunName.parse(request.name)
        return run_to_proto(await self._steering.cancel(caller(context), name, request_fingerprint(request)))

    async def ResumeRun(self, request: run_pb2.ResumeRunRequest, context: Context) -> run_pb2.Run:
        """Decide about a step that may have happened."""
        run = await self._steering.decide(
            caller(context),
            StepName.parse(request.step, "step"),
            Verdict(run_pb2.Resume.Name(request.decision).removeprefix("RESUME_")),
            from_value(request.output),
            "",
            request_fingerprint(request),
        )
        return run_to_proto(run)

    async def ApproveStep(self, request: run_pb2.ApproveStepRequest, context: Context) -> run_pb2.Run:
        """Approve or refuse what a step shows."""
        run = await self._steering.decide(
            caller(context),
            StepName.parse(request.step, "step"),
            Verdict.REFUSE if request.refuse else Verdict.APPROVE,
            None,
            request.digest,
            request_fingerprint(request),
            request.plan,
        )
        return run_to_proto(run)

    async def PlanStep(self, request: run_pb2.PlanStepRequest, context: Context) -> run_pb2.PlanStepResponse:
        """Make the plan of what an approval lets happen."""
        name = StepName.parse(request.step, "step")
        plan = await self._step_plans.plan_step(caller(context), name, request.digest)
        return run_pb2.PlanStepResponse(plan=plan_to_proto(plan))

    async def SendEvent(self, request: run_pb2.SendEventRequest, context: Context) -> run_pb2.Run:
        """Give a run its event."""
        run = await self._steering.send_event(
            caller(context),
            RunName.parse(request.run, "run"),
            request.event,
            from_value(request.payload),
            request_fingerprint(request),
        )
        return run_to_proto(run)

    async def ForkRun(self, request: run_pb2.ForkRunRequest, context: Context) -> run_pb2.Run:
        """Begin another run at a step."""
        name = RunName.parse(request.name)
        return run_to_proto(
            await self._steering.fork(caller(context), name, request.step, request_fingerprint(request))
        )
