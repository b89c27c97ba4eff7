"""What scripts expect to be global: on QuickJS the same as on Node, as far as it is there at all."""

import uuid
from collections.abc import AsyncIterator, Callable

import pytest

from hardpoint_executor.jail import JailCall, JailOptions, Jails, OutcomeKind

from .conftest import RecordedDoor
from .programs import javascript, quickjs

Program = Callable[..., JailCall]


@pytest.fixture(scope="module")
async def jails() -> AsyncIterator[Jails]:
    started = Jails(JailOptions(languages=("javascript",)))
    await started.start()
    assert started.reasons_not_ready() == []
    yield started
    await started.stop()


@pytest.fixture(params=[javascript, quickjs], ids=["node", "quickjs"])
def program(request: pytest.FixtureRequest) -> Program:
    return request.param


async def value(jails: Jails, call: JailCall) -> object:
    outcome = await jails.run(call, RecordedDoor())
    assert outcome.kind is OutcomeKind.OK, outcome
    return outcome.value


@pytest.mark.parametrize(
    "drawn", ["Math.random()", "crypto.randomUUID()", "[...crypto.getRandomValues(new Uint16Array(8))]"]
)
async def test_no_call_draws_what_another_drew(jails: Jails, program: Program, drawn: str) -> None:
    """Calls of one slot begin as copies of one engine, with one seed."""
    header = f"{{ id: 'tested', actions: {{ act() {{ return [early, {drawn}]; }} }} }}"
    source = f"const early = {drawn};\nexport default {header};"
    call = program("")
    whole = JailCall("javascript", source, "plugin.js", "act", {}, engine=call.engine, org="acme", capability="tested")
    draws = [draw for _ in range(3) for draw in await value(jails, whole)]  # type: ignore[attr-defined]
    assert len({str(draw) for draw in draws}) == 6


async def test_random_numbers_are_spread_evenly(jails: Jails, program: Program) -> None:
    body = """
const counts = new Array(16).fill(0);
let [sum, least, most] = [0, 1, 0];
for (let n = 0; n < 16000; n += 1) {
  const x = Math.random();
  counts[Math.floor(x * 16)] += 1;
  [sum, least, most] = [sum + x, Math.min(least, x), Math.max(most, x)];
}
return { counts, mean: sum / 16000, least, most };
"""
    drawn = await value(jails, program(body))
    assert all(800 < count < 1200 for count in drawn["counts"]), drawn  # type: ignore[index]
    assert 0.48 < drawn["mean"] < 0.52  # type: ignore[index]
    assert 0 <= drawn["least"] < 0.01  # type: ignore[index]
    assert 0.99 < drawn["most"] < 1  # type: ignore[index]


async def test_a_uuid_is_one(jails: Jails, program: Program) -> None:
    text = await value(jails, program("return crypto.randomUUID();"))
    assert uuid.UUID(str(text)).version == 4
    assert str(uuid.UUID(str(text))) == text


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("crypto.getRandomValues(new Float64Array(1));", "TypeMismatchError"),
        ("crypto.getRandomValues(new Uint8Array(65537));", "QuotaExceededError"),
    ],
)
async def test_what_cannot_be_filled_is_refused(jails: Jails, program: Program, body: str, name: str) -> None:
    assert (await jails.run(program(body), RecordedDoor())).error_name == name
