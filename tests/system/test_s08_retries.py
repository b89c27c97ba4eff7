"""S08: an upstream fails and recovers. What may be repeated is; what may have happened waits for a person."""

import pytest
from demo.upstreams import Asked

from hardpoint.runtime.v1 import run_pb2

from .orders import ENDED, effect, orders, start, until


async def test_s08_what_may_be_repeated_is(system, client, agent, add):
    answers = {"keyed": [503, 503, 200], "plain": [503, 200]}

    def answer(name: str):
        def next_one(_asked: Asked) -> tuple[int, object]:
            return answers[name].pop(0), {"ok": name}

        return next_one

    keyed, plain = (system.upstream.serve(answer(name)) for name in ("keyed", "plain"))
    await add(effect("keyed", keyed, idempotency={"header": "Idempotency-Key"}))
    await add(effect("plain", plain))
    retry = {"attempts": 3, "seconds": 0.1}
    await add(
        orders(
            {"id": "store", "action": "keyed.get", "retry": retry},
            {"id": "mail", "action": "plain.get", "retry": retry},
        )
    )
    run = await start(client, agent)
    waiting = await until(client, run.name, run_pb2.RUN_STATE_WAITING, *ENDED)
    assert (waiting.state, waiting.reason) == (run_pb2.RUN_STATE_WAITING, "MAY_HAVE_HAPPENED"), waiting
    asked = system.upstream.asked(keyed)
    assert len(asked) == 3
    assert len({one.headers["idempotency-key"] for one in asked}) == 1
    assert len(system.upstream.asked(plain)) == 1
    steps = (await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=run.name))).steps
    (doubtful,) = [step for step in steps if step.waits == run_pb2.WAITS_DOUBT]
    await client.runs.ResumeRun(run_pb2.ResumeRunRequest(step=doubtful.name, decision=run_pb2.RESUME_REPEAT))
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_SUCCEEDED
    assert len(system.upstream.asked(plain)) == 2


def hangs_up(_asked: Asked) -> tuple[int, object]:
    raise ConnectionAbortedError("this upstream hangs up")


@pytest.mark.parametrize("answer", [hangs_up, (504, {})], ids=["hangs up", "a gateway without an answer"])
async def test_s08_what_nobody_answers_may_have_happened(system, client, agent, add, answer):
    """Also where nobody asked to repeat it: a person says what came of it, and it is not done again by itself."""
    url = system.upstream.serve(answer)
    await add(effect("plain", url))
    await add(orders({"id": "mail", "action": "plain.get"}))
    run = await start(client, agent)
    waiting = await until(client, run.name, run_pb2.RUN_STATE_WAITING, *ENDED)
    assert (waiting.state, waiting.reason) == (run_pb2.RUN_STATE_WAITING, "MAY_HAVE_HAPPENED"), waiting
    (step,) = (await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=run.name))).steps
    await client.runs.ResumeRun(run_pb2.ResumeRunRequest(step=step.name, decision=run_pb2.RESUME_SKIP))
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_SUCCEEDED
    assert len(system.upstream.asked(url)) == 1
