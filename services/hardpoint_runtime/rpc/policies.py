"""Owns PolicyService on the wire."""

from hardpoint.runtime.v1 import policy_pb2, policy_pb2_grpc
from hardpoint_kit.caller import caller
from hardpoint_kit.idempotency import request_fingerprint
from hardpoint_kit.names import PolicyName
from hardpoint_runtime.domain.policy import UNCHANGED, Policy
from hardpoint_runtime.rpc.shared import Context
from hardpoint_runtime.service.policies import Policies


class PolicyRpc(policy_pb2_grpc.PolicyServiceServicer):
    """PolicyService over the use cases of policies."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    async def GetPolicy(self, request: policy_pb2.GetPolicyRequest, context: Context) -> policy_pb2.Policy:
        """Show the policy."""
        name = PolicyName.parse(request.name)
        return policy_to_proto(await self._policies.get_policy(caller(context), name))

    async def UpdatePolicy(self, request: policy_pb2.UpdatePolicyRequest, context: Context) -> policy_pb2.Policy:
        """Change the policy."""
        given = request.policy
        policy = await self._policies.update_policy(
            caller(context),
            PolicyName.parse(given.name, "policy.name"),
            given.single_use,
            given.shared_runs,
            request.update_mask.paths,
            given.etag,
            request_fingerprint(request),
        )
        return policy_to_proto(policy)


def policy_to_proto(policy: Policy) -> policy_pb2.Policy:
    """Write a policy."""
    changed = policy.revision != UNCHANGED
    return policy_pb2.Policy(
        name=str(policy.name),
        single_use=policy.single_use,
        shared_runs=policy.shared_runs,
        update_time=policy.revision.updated_at if changed else None,
        etag=policy.revision.etag,
    )
