"""Every hostile program is contained: reported as it should be, nothing outside touched, nothing left, all well after.

Each runs while a neighbour lives in a jail of its own, and is followed by a benign call in the same language, which
lives on beside the next.
"""

import pytest

from .corpus import row_of, rows
from .shared import SharedJails
from .siege import PROGRAMS, TIERS, Program, Siege, besieged

AT_ONCE = 6
DEADLINE_SECONDS = 0.5
# The siege is held once, before the first test, and watches the whole machine.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", params=TIERS)
async def siege(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_jails: SharedJails
) -> Siege:
    """Run every program once and keep what came of it."""
    await shared_jails.stop()  # a pool that refills would be found by those who look for what is left
    async with besieged(request.param, tmp_path_factory.mktemp("siege"), DEADLINE_SECONDS) as siege:
        await siege.set_upon(PROGRAMS, AT_ONCE)
    return siege


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_hostile_program_is_contained(siege: Siege, program: Program) -> None:
    assault = siege.assaults[program.name]
    assert {assault.word, str(assault.outcome.kind)} & program.expected(siege.tier), assault.outcome
    if assault.word not in ("ok", "ok_denied"):
        # QuickJS says so, when it has not even the memory for what it says.
        message = assault.outcome.message.replace("Invalid error message", "out of memory")
        assert program.named(siege.tier) in message, assault.outcome
    assert siege.canary not in repr(assault.outcome) + assault.told
    for benign in (assault.neighbour, assault.after):
        ended = benign.outcome.result()
        assert ended.value == benign.undisturbed, ended


def test_no_attack_reached_a_listener(siege: Siege) -> None:
    assert siege.reached == 0


def test_no_attack_left_anything(siege: Siege) -> None:
    assert siege.left == []


def test_the_document_names_every_program_once_for_each_tier() -> None:
    assert sorted(rows()) == sorted(row_of(program, tier) for tier in TIERS for program in PROGRAMS)
