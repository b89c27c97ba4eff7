"""Owns what people do with the policy of their org."""

from collections.abc import Iterable

from hardpoint_kit.caller import Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.masks import check_etag
from hardpoint_kit.names import PolicyName
from hardpoint_runtime.domain.policy import Policy
from hardpoint_runtime.store import Store, Transaction


class Policies:
    """Policies; `fingerprint` tells a write request from others with the same request id."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def get_policy(self, caller: Caller, name: PolicyName) -> Policy:
        """Return the policy, which every org has."""
        async with self._store.transaction(caller) as tx:
            return await tx.policies.get(name)

    async def update_policy(
        self,
        caller: Caller,
        name: PolicyName,
        single_use: bool,
        shared_runs: bool,
        mask: Iterable[str],
        etag: str,
        fingerprint: str,
    ) -> Policy:
        """Change the policy: in force when this returns, at other processes within two seconds. Raises StaleEtag."""

        async def update(tx: Transaction) -> Policy:
            policy = await tx.policies.get(name, lock=True)
            check_etag(etag, policy.revision.etag)
            policy = policy.changed(single_use, shared_runs, mask, self._clock.now())
            await tx.policies.save(policy)
            await tx.audit("policy.update", name, single_use=policy.single_use, shared_runs=policy.shared_runs)
            await tx.tell(name)
            return policy

        return await self._store.once(caller, "UpdatePolicy", fingerprint, Policy, update)
