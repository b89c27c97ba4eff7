"""The policy of the runtime."""

from hardpoint.runtime.v1 import policy_pb2_grpc

from .world import Fake


class Policy(Fake, policy_pb2_grpc.PolicyServiceServicer):
    async def GetPolicy(self, request, context):
        self.world.ask("GetPolicy", request)
        return self.world.policy

    async def UpdatePolicy(self, request, context):
        self.world.ask("UpdatePolicy", request)
        request.update_mask.MergeMessage(request.policy, self.world.policy, True, True)
        return self.world.policy
