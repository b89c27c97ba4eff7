"""Every hostile program is contained: reported as it should be, nothing outside touched, nothing left, all well after.

Line 1 of a program says how a contained run is reported, and why. They run side by side, each followed by a benign call
in the same language, so every benign call is also the neighbour of some attack.
"""

import asyncio
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hardpoint_executor.jail import BrokerDenied, JailCall, JailOptions, Limits, Outcome, PoolOptions, SingleUseJails

from .conftest import orphans, supervisors
from .programs import javascript, python

PROGRAMS = sorted(path for path in (Path(__file__).parent / "hostile").rglob("*") if path.suffix in (".py", ".js"))
WRAPPED = {
    ".py": """
from hardpoint_sdk import action, capability
capability(id="hostile")
@action
async def attack(self, input):
    global ctx
    ctx = self
    value = run(input)
    return await value if hasattr(value, "__await__") else value
""",
    ".js": "\nexport default { id: 'hostile', actions: { async attack(input) { return run(input); } } };\n",
}
AT_ONCE = 5
pytestmark = pytest.mark.xdist_group("siege")  # the siege is held once, and watches the whole machine


@dataclass
class Siege:
    outcomes: dict[Path, Outcome]
    benign: dict[Path, Outcome]
    connections: int
    supervisors_left: set[int]


class ShutDoor:
    async def ask(self, service: str, method: str, arguments: Mapping[str, Any], /) -> Any:
        raise BrokerDenied("HOST_NOT_GRANTED", "nothing is granted")


def expected(program: Path) -> set[str]:
    found = re.search(r"expect\[(.*?)\]", program.read_text().partition("\n")[0])
    assert found, f"{program.name} does not say what to expect"
    return set(found[1].split())


@pytest.fixture(scope="module")
async def siege(tmp_path_factory: pytest.TempPathFactory) -> Siege:
    """Run every program once and keep what came of it."""
    canary = tmp_path_factory.mktemp("canary") / "secret.txt"
    canary.write_text("canary")
    jails = SingleUseJails(JailOptions(pool=PoolOptions(queue=200, queue_seconds=60)))
    sources = {program: program.read_text() for program in PROGRAMS}
    before = supervisors()
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as abstract:
        port = str(listener.getsockname()[1])
        abstract.bind(f"\0hp-canary-{port}")
        abstract.listen()
        await jails.start()
        assert jails.reasons_not_ready() == []
        turns = asyncio.Semaphore(AT_ONCE)

        async def attack(program: Path) -> tuple[Outcome, Outcome]:
            source = sources[program].replace("CANARY_FILE", str(canary)).replace("CANARY_PORT", port)
            source = source.replace("hp-canary", f"hp-canary-{port}")
            seconds = 1.5 if "timeout" in expected(program) else 20.0
            language, benign = ("python", python("return input", 1)), ("javascript", javascript("return input", 1))
            name, after = language if program.suffix == ".py" else benign
            call = JailCall(
                name, source + WRAPPED[program.suffix], program.name, "attack", {}, limits=Limits(wall_seconds=seconds)
            )
            async with turns:
                return await jails.run(call, ShutDoor()), await jails.run(after, ShutDoor())

        results = await asyncio.gather(*(attack(program) for program in PROGRAMS))
        await jails.stop()
        connections = sum(_pending(waiting) for waiting in (listener, abstract))
    return Siege(
        {program: outcome for program, (outcome, _) in zip(PROGRAMS, results, strict=True)},
        {program: outcome for program, (_, outcome) in zip(PROGRAMS, results, strict=True)},
        connections,
        supervisors() - before,
    )


def _pending(listener: socket.socket) -> int:
    listener.setblocking(False)
    try:
        listener.accept()
    except BlockingIOError:
        return 0
    return 1


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_hostile_program_is_contained(siege: Siege, program: Path) -> None:
    outcome = siege.outcomes[program]
    denied = outcome.ok and isinstance(outcome.value, dict) and outcome.value.get("denied") is True
    assert {str(outcome.kind), "ok_denied" if denied else str(outcome.kind)} & expected(program), outcome
    assert "canary" not in repr(outcome.value)
    assert siege.benign[program].value == 1


def test_no_attack_reached_a_listener(siege: Siege) -> None:
    assert siege.connections == 0


def test_no_attack_left_a_process(siege: Siege) -> None:
    assert siege.supervisors_left == set()
    assert orphans() == []
