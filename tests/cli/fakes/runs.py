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
        names = [f"{request.parent}/steps/{number}" for number in (1, 2)]
        return run_pb2.ListStepsResponse(steps=[run_pb2.Step(name=name, action="a.b", state=4) for name in names])
