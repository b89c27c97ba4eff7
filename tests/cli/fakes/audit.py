"""The audit log, which every unit has."""

from hardpoint.audit.v1 import audit_pb2, audit_pb2_grpc

from .world import WEATHER, Fake, World


class Audit(Fake, audit_pb2_grpc.AuditServiceServicer):
    def __init__(self, world: World, unit: str) -> None:
        super().__init__(world)
        self.unit = unit

    async def ListEvents(self, request, context):
        self.world.ask("ListEvents", request)
        event = audit_pb2.Event(
            sequence=1, subject="ada", action=f"{self.unit}.something", resource=WEATHER, facts={"version": "1.0.0"}
        )
        return audit_pb2.ListEventsResponse(events=[event])
