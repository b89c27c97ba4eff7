"""What the runtime remembers between calls."""

import asyncio

import pytest

from hardpoint_kit.errors import Unavailable
from hardpoint_runtime.service.memory import Memory


class Maker:
    """Makes 1, 2, 3, ... each when it is let."""

    def __init__(self) -> None:
        self.made = 0
        self.gate = asyncio.Event()

    async def __call__(self) -> int:
        self.made += 1
        number = self.made
        await self.gate.wait()
        return number


def memory(capacity: int = 10) -> Memory[str, int]:
    return Memory(lambda value: value > 0, capacity)


async def begun(maker: Maker, times: int) -> None:
    while maker.made < times:
        await asyncio.sleep(0)


async def test_many_who_ask_at_once_share_one_making() -> None:
    remembered, maker = memory(), Maker()
    asking = [asyncio.create_task(remembered.get("a", maker)) for _ in range(50)]
    await begun(maker, 1)
    maker.gate.set()
    assert await asyncio.gather(*asking) == [1] * 50
    assert await remembered.get("a", maker) == 1


async def test_what_is_dropped_while_it_is_made_is_not_given_to_those_who_ask_later() -> None:
    remembered, maker = memory(), Maker()
    early = asyncio.create_task(remembered.get("a", maker))
    await begun(maker, 1)
    remembered.drop_where(lambda value: False)
    late = asyncio.create_task(remembered.get("a", maker))
    await begun(maker, 2)
    maker.gate.set()
    assert (await early, await late) == (1, 2)
    assert await remembered.get("a", maker) == 2


async def test_one_who_goes_away_leaves_the_making_to_the_others() -> None:
    remembered, maker = memory(), Maker()
    impatient, patient = (asyncio.create_task(remembered.get("a", maker)) for _ in range(2))
    await begun(maker, 1)
    impatient.cancel()
    await asyncio.wait([impatient])
    maker.gate.set()
    assert await patient == 1


async def test_a_failure_is_told_and_not_remembered() -> None:
    remembered = memory()

    async def fail() -> int:
        raise Unavailable("away")

    async def work() -> int:
        return 7

    with pytest.raises(Unavailable):
        await remembered.get("a", fail)
    assert await remembered.get("a", work) == 7


async def test_what_is_no_longer_usable_is_made_again() -> None:
    remembered, maker = memory(), Maker()
    maker.gate.set()
    maker.made = -2
    assert await remembered.get("a", maker) == -1
    assert await remembered.get("a", maker) == 0
    assert await remembered.get("a", maker) == 1
    assert await remembered.get("a", maker) == 1


async def test_the_oldest_is_forgotten_beyond_capacity() -> None:
    remembered, maker = memory(capacity=2), Maker()
    maker.gate.set()
    for key in ("a", "b", "c"):
        await remembered.get(key, maker)
    assert await remembered.get("c", maker) == 3
    assert await remembered.get("b", maker) == 2
    assert await remembered.get("a", maker) == 4
    remembered.drop("b")
    assert await remembered.get("b", maker) == 5
    remembered.clear()
    assert await remembered.get("a", maker) == 6
