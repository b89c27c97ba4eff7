"""The runs of the runtime."""

from hardpoint.runtime.v1 import run_pb2
from hardpoint.runtime.v1.run_pb2_grpc import RunServiceServicer

from .world import Fake, known


class Runs(Fake, RunServiceServicer):
    async def GetRun(self, request, context):
        self.world.ask("GetRun", request)
        return known(self.world.runs, "run", request.name)

    async def ListRuns(self, request, context):
        self.world.ask("ListRuns", request)
        found = [one for one in self.world.runs.values() if request.state in (0, one.state)]
        return run_pb2.ListRunsResponse(runs=found)

    async def ListSteps(self, request, context):
        self.world.ask("ListSteps", request)
        if self.world.steps:
            return run_pb2.ListStepsResponse(steps=self.world.steps)
        names = [f"{request.parent}/steps/{number}" for number in (1, 2)]
        return run_pb2.ListStepsResponse(steps=[run_pb2.Step(name=name, action="a.b", state=4) for name in names])

    async def GetRunLogs(self, request, context):
        self.world.ask("GetRunLogs", request)
        return run_pb2.GetRunLogsResponse(lines=self.world.logs)

    async def StartRun(self, request, context):
        self.world.ask("StartRun", request)
        return run_pb2.Run(name="orgs/acme/runs/run-9", state=run_pb2.RUN_STATE_QUEUED)

    async def WatchRun(self, request, context):
        self.world.ask("WatchRun", request)
        run = known(self.world.runs, "run", request.name)
        steps = [
            run_pb2.Step(name=f"{request.name}/steps/{number}", path=path, state=run_pb2.RUN_STATE_SUCCEEDED)
            for number, path in enumerate(("look", "store"), start=1)
        ]
        begun = run_pb2.Run(name=run.name, state=run_pb2.RUN_STATE_RUNNING)
        for sequence, shown in enumerate((begun, run), start=1):
            if sequence > request.sequence:
                yield run_pb2.WatchRunResponse(sequence=sequence, run=shown, steps=steps[sequence - 1 : sequence])
                if sequence == 1 and self.world.cuts:
                    if cut := self.world.cuts.pop(0):
                        raise cut
                    return

    async def ApproveStep(self, request, context):
        self.world.ask("ApproveStep", request)
        return run_pb2.Run(name="orgs/acme/runs/run-1", state=run_pb2.RUN_STATE_QUEUED)

    async def PlanStep(self, request, context):
        self.world.ask("PlanStep", request)
        return run_pb2.PlanStepResponse(plan=self.world.plan)

    async def ResumeRun(self, request, context):
        self.world.ask("ResumeRun", request)
        return run_pb2.Run(name="orgs/acme/runs/run-1", state=run_pb2.RUN_STATE_QUEUED)

    async def SendEvent(self, request, context):
        self.world.ask("SendEvent", request)
        return run_pb2.Run(name=request.run, state=run_pb2.RUN_STATE_QUEUED)

    async def CancelRun(self, request, context):
        self.world.ask("CancelRun", request)
        return run_pb2.Run(name=request.name, state=run_pb2.RUN_STATE_CANCELLED)

    async def ForkRun(self, request, context):
        self.world.ask("ForkRun", request)
        return run_pb2.Run(name="orgs/acme/runs/run-8", state=run_pb2.RUN_STATE_QUEUED)
