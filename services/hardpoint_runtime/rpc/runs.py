"""Owns RunService on the wire."""

from hardpoint.runtime.v1 import run_pb2, run_pb2_grpc
from hardpoint_kit.auth import allows
from hardpoint_kit.caller import caller
from hardpoint_kit.documents import to_value
from hardpoint_kit.names import AgentName, OrgName, RunName
from hardpoint_runtime.domain.runs import Run, Step
from hardpoint_runtime.domain.workflows import ENDED, StepRun
from hardpoint_runtime.rpc.shared import Context, usage_to_proto, window
from hardpoint_runtime.service.runs import Runs
from hardpoint_runtime.service.workflows import APPROVE


class RunRpc(run_pb2_grpc.RunServiceServicer):
    """RunService over the record of runs."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    async def GetRun(self, request: run_pb2.GetRunRequest, context: Context) -> run_pb2.Run:
        """Show a run."""
        return run_to_proto(await self._runs.get_run(caller(context), RunName.parse(request.name)))

    async def ListRuns(self, request: run_pb2.ListRunsRequest, context: Context) -> run_pb2.ListRunsResponse:
        """Show a page of runs, newest first."""
        page = await self._runs.list_runs(
            caller(context),
            OrgName.parse(request.parent, "parent"),
            window(request, request),
            AgentName.parse(request.agent, "agent") if request.agent else None,
            run_pb2.RunState.Name(request.state).removeprefix("RUN_STATE_") if request.state else "",
        )
        return run_pb2.ListRunsResponse(runs=map(run_to_proto, page.items), next_page_token=page.next_page_token)

    async def ListSteps(self, request: run_pb2.ListStepsRequest, context: Context) -> run_pb2.ListStepsResponse:
        """Show the steps of a run."""
        steps = await self._runs.list_steps(caller(context), RunName.parse(request.parent, "parent"))
        approves = may_approve(context)
        return run_pb2.ListStepsResponse(
            steps=[
                step_run_to_proto(step, approves) if isinstance(step, StepRun) else step_to_proto(step)
                for step in steps
            ]
        )

    async def GetRunLogs(self, request: run_pb2.GetRunLogsRequest, context: Context) -> run_pb2.GetRunLogsResponse:
        """Show what the code of a run logged."""
        lines = await self._runs.logs(caller(context), RunName.parse(request.name))
        return run_pb2.GetRunLogsResponse(
            lines=[run_pb2.LogLine(step=line.step, level=line.level, message=line.message) for line in lines]
        )


def run_to_proto(run: Run) -> run_pb2.Run:
    """Write a run."""
    return run_pb2.Run(
        name=str(run.name),
        agent=str(AgentName(run.name.org, run.agent)) if run.agent else "",
        action=run.action,
        release=str(run.release),
        state=f"RUN_STATE_{run.state}",
        start_time=run.started_at,
        end_time=run.ended_at if run.state in ENDED else None,
        duration_ms=run.duration_us / 1000,
        reason=run.failure.reason,
        message=run.failure.message,
        place=run.failure.place,
        fix=run.failure.fix,
        facts=run.failure.facts,
        usage=usage_to_proto(run.usage),
        trace_id=run.trace_id,
        subject=run.subject,
        on_behalf_of=run.on_behalf_of,
        dry_run=run.dry_run,
        plan=run.plan,
        recorded=run.recorded,
    )


def step_to_proto(step: Step) -> run_pb2.Step:
    """Write a step."""
    inner = step.inner
    return run_pb2.Step(
        name=str(step.name),
        action=inner.action,
        release=str(inner.release),
        state=f"RUN_STATE_{inner.state}",
        start_time=inner.started_at,
        duration_ms=inner.duration_us / 1000,
        reason=inner.failure.reason,
        message=inner.failure.message,
        usage=usage_to_proto(inner.usage),
        path=inner.path,
    )


def may_approve(context: Context) -> bool:
    """Whether the caller is shown what steps ask to be approved: it is of their inputs, which no record has."""
    return allows(caller(context).roles, APPROVE)


def step_run_to_proto(step: StepRun, approves: bool) -> run_pb2.Step:
    """Write a step of a workflow; what it shows only for those who may approve it."""
    return run_pb2.Step(
        name=f"{step.run}/steps/{step.number}",
        path=step.step,
        action=step.action,
        release=step.release,
        state=f"RUN_STATE_{step.state}",
        start_time=step.started_at,
        duration_ms=step.duration_us / 1000,
        reason=step.failure.reason,
        message=step.failure.message,
        usage=usage_to_proto(step.usage),
        attempts=step.attempts,
        waits=f"WAITS_{step.waits}" if step.waits else None,
        shown=None if step.shown is None or not approves else to_value(step.shown),
        digest=step.digest,
        due_time=step.due_at,
        decided_by=step.decision.subject if step.decision else "",
        plan=step.plan,
        child=f"orgs/{step.run.org}/runs/{step.child}" if step.child else "",
    )
