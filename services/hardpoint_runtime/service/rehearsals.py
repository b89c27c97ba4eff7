"""Owns dry runs of workflows as calls: one plan of all steps, and one run in the record, marked as dry.

Nothing of a workflow begins: nothing durable, no row of a step, no wait.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hardpoint_kit.auth import allows
from hardpoint_kit.caller import Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.documents import to_value
from hardpoint_kit.errors import HardpointError
from hardpoint_kit.names import AgentName
from hardpoint_runtime.domain.calls import Answer
from hardpoint_runtime.domain.context import CallContext
from hardpoint_runtime.domain.effects import EffectPlan, digest_of
from hardpoint_runtime.domain.runs import Failure, RunState
from hardpoint_runtime.domain.snapshot import Offer
from hardpoint_runtime.service.executions import ANSWER_SECONDS, Executions
from hardpoint_runtime.service.recorder import Recorder
from hardpoint_runtime.service.rehearsal import Rehearsal
from hardpoint_runtime.service.snapshots import Snapshots
from hardpoint_runtime.service.workflows import APPROVE, Workflows

LONGEST_SECONDS: Final = 300.0
"""Of a dry run whose caller has no deadline."""


@dataclass(frozen=True, slots=True)
class Rehearsals:
    """The parts that they are made with."""

    snapshots: Snapshots
    executions: Executions
    recorder: Recorder
    workflows: Workflows
    clock: Clock

    async def rehearse(
        self,
        caller: Caller,
        agent: AgentName,
        offer: Offer,
        value: Mapping[str, Any],
        remaining: float | None,
        context: CallContext,
    ) -> Answer:
        """The plan of a whole run, and nothing else of it; `remaining` is what the caller still waits, in seconds.

        Who approves nothing does not see what stands behind an approval: that would read for real. Raises as
        `Workflows.prepare`, and Unavailable or ResourceExhausted when a step does not even begin.
        """
        workflow = await self.workflows.prepare(caller, agent, offer, value, context=context)
        approves = allows(caller.roles, APPROVE)
        way = Rehearsal(workflow, agent, approves, self.snapshots, self.executions, self.clock)
        found, run = way.found, workflow.run
        seconds = LONGEST_SECONDS if remaining is None else min(LONGEST_SECONDS, remaining - ANSWER_SECONDS)
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                failure = await way.whole()
        except TimeoutError:
            failure = Failure("TIMEOUT", "the time of the dry run was up: give it longer")
        except asyncio.CancelledError:
            self.recorder.leave(found.record(run, self.clock.now(), RunState.CANCELLED))
            raise
        except HardpointError as error:
            if found.inner:
                self.recorder.leave(found.record(run, self.clock.now(), RunState.FAILED, Failure.of(error)))
            raise
        basis = {
            "agent": str(agent),
            "action": str(offer.name),
            "release": f"{workflow.release.name} {workflow.release.digest}",
            "input": digest_of(dict(value)),
        }
        plan = EffectPlan(basis, tuple(found.effects), failure, steps=tuple(found.steps))
        await self.recorder.record(found.record(run, self.clock.now(), RunState.SUCCEEDED, plan=plan.digest))
        return Answer(to_value(None), run.name, run.release, found.usage, found.used, plan=plan)
