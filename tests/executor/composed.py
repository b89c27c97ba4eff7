"""Releases that call each other, for tests of the executor: their code by name, and executions of them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hardpoint_executor.domain import Artifact, Callee, Execution, Limits, Requirement
from hardpoint_executor.peers import Values
from hardpoint_kit.errors import HardpointError
from hardpoint_manifest.authority import Authority
from hardpoint_manifest.inputs import InputSchema

LONG = Authority(frozenset({"compute.moderate"}))


def python(body: str) -> str:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    head = 'import hardpoint_sdk\nhardpoint_sdk.capability(id="x")\n@hardpoint_sdk.action\n'
    return f"{head}async def run(self, input):\n{lines}\n"


def javascript(body: str) -> str:
    return f"export default {{ id: 'x', actions: {{\nasync run(input) {{\n{body}\n}} }} }};\n"


@dataclass
class World:
    """The peers of an executor: artifacts by digest, and leases by token."""

    sources: dict[str, str] = field(default_factory=dict)
    leases: dict[str, Values] = field(default_factory=dict)

    async def read(self, digest: str, ticket: str) -> bytes:
        return self.sources[digest].encode()

    async def redeem(self, token: str) -> Values:
        return self.leases[token]

    def lease(self, token: str, secrets: Mapping[str, str], no_text: frozenset[str] = frozenset()) -> str:
        self.leases[token] = Values({}, secrets, datetime.now(UTC) + timedelta(hours=1), no_text)
        return token

    def add(
        self,
        capability: str,
        source: str,
        *callees: Callee,
        ext: str = "py",
        authority: Authority = LONG,
        requirements: tuple[Requirement, ...] = (),
        seconds: float = 0,
        **more: Any,
    ) -> Execution:
        """An execution of a release with this source, which may call these."""
        digest = f"sha256:{hashlib.sha256(source.encode()).hexdigest()}"
        self.sources[digest] = source
        return Execution(
            org="acme",
            id=f"e-{capability}",
            release=f"orgs/acme/capabilities/{capability}/releases/1.0.0",
            artifact=Artifact(digest, f"{capability}.{ext}", "ticket"),
            action="run",
            output_schema={},
            input=more.pop("input", {}),
            authority=authority,
            lease_token=more.pop("lease_token", ""),
            requirements=requirements,
            limits=Limits(seconds, 0, 0, 0, 0),
            asked=more.pop("asked", authority),
            callees={callee.action: callee for callee in callees},
            idempotency_key="r1",
            **more,
        )

    def callee(self, capability: str, source: str, *callees: Callee, schema: Any = None, **more: Any) -> Callee:
        """The action `run` of such a release, as others may call it."""
        execution = replace(
            self.add(capability, source, *callees, **more), installation=f"orgs/acme/installations/{capability}"
        )
        return Callee(f"{capability}.run", execution, InputSchema(schema) if schema else None)


def refused(name: str, error: HardpointError) -> Callee:
    return Callee(name, refusal=error)
