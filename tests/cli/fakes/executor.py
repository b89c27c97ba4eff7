"""The executor: headers of code, and its engines."""

from hardpoint.executor.v1 import executor_pb2, executor_pb2_grpc
from hardpoint_kit.documents import to_struct

from .world import Fake


class Executor(Fake, executor_pb2_grpc.ExecutorServiceServicer):
    async def ReadHeader(self, request, context):
        self.world.ask("ReadHeader", request)
        return executor_pb2.ReadHeaderResponse(header=to_struct(self.world.header))

    async def ReadEngines(self, request, context):
        self.world.ask("ReadEngines", request)
        numpy = executor_pb2.Library(id="numpy", version="2.4.6", about="Arrays", import_ms=217.4, disk_bytes=54858464)
        return executor_pb2.ReadEnginesResponse(
            engines=[executor_pb2.Engine(language="javascript", id="node", single_use=True)], libraries=[numpy]
        )
