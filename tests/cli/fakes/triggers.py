"""The triggers of the runtime, and what came to them."""

from hardpoint.runtime.v1 import trigger_pb2, trigger_pb2_grpc

from .world import Fake, known


class Triggers(Fake, trigger_pb2_grpc.TriggerServiceServicer):
    async def CreateTrigger(self, request, context):
        self.world.ask("CreateTrigger", request)
        made = trigger_pb2.Trigger()
        made.CopyFrom(request.trigger)
        made.name = f"{request.parent}/triggers/{request.trigger_id}"
        made.state = trigger_pb2.TRIGGER_STATE_ACTIVE
        made.installation = "orgs/acme/installations/weather-lookup"
        if made.type == trigger_pb2.TRIGGER_TYPE_WEBHOOK:
            made.url = "https://hooks.example.com/hooks/t0ken"
        self.world.triggers[made.name] = made
        return made

    async def GetTrigger(self, request, context):
        self.world.ask("GetTrigger", request)
        return known(self.world.triggers, "trigger", request.name)

    async def ListTriggers(self, request, context):
        self.world.ask("ListTriggers", request)
        return trigger_pb2.ListTriggersResponse(triggers=self.world.triggers.values())

    async def UpdateTrigger(self, request, context):
        self.world.ask("UpdateTrigger", request)
        found = known(self.world.triggers, "trigger", request.trigger.name)
        request.update_mask.MergeMessage(request.trigger, found, True, True)
        return found

    async def PauseTrigger(self, request, context):
        self.world.ask("PauseTrigger", request)
        known(self.world.triggers, "trigger", request.name).state = trigger_pb2.TRIGGER_STATE_PAUSED
        return self.world.triggers[request.name]

    async def ResumeTrigger(self, request, context):
        self.world.ask("ResumeTrigger", request)
        known(self.world.triggers, "trigger", request.name).state = trigger_pb2.TRIGGER_STATE_ACTIVE
        return self.world.triggers[request.name]

    async def DeleteTrigger(self, request, context):
        self.world.ask("DeleteTrigger", request)
        known(self.world.triggers, "trigger", request.name)
        del self.world.triggers[request.name]
        return trigger_pb2.DeleteTriggerResponse()

    async def ListDeliveries(self, request, context):
        self.world.ask("ListDeliveries", request)
        known(self.world.triggers, "trigger", request.parent)
        return trigger_pb2.ListDeliveriesResponse(deliveries=self.world.deliveries)

    async def ReplayDelivery(self, request, context):
        self.world.ask("ReplayDelivery", request)
        return trigger_pb2.Delivery(name=f"{request.name}-again", original=request.name)
