"""Calls wait their turn: bounded in all, and no organisation keeps another from being served."""

import contextlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hardpoint_executor.jail.fair_queue import FairQueue
from hardpoint_kit.errors import ResourceExhausted

ORGS = ("acme", "globex", "initech", "umbrella")


def test_organisations_take_turns_however_many_calls_one_of_them_has() -> None:
    queue: FairQueue[str] = FairQueue(8, "jail")
    for number in range(5):
        queue.put("acme", f"acme {number}")
    queue.put("globex", "globex 0")
    queue.put("initech", "initech 0")
    assert [queue.pop() for _ in range(4)] == ["acme 0", "globex 0", "initech 0", "acme 1"]


def test_the_organisation_that_waits_most_pays_for_a_full_queue() -> None:
    queue: FairQueue[str] = FairQueue(3, "python jail")
    for number in range(3):
        assert queue.put("acme", f"acme {number}") is None
    with pytest.raises(ResourceExhausted, match="every python jail is busy") as full:
        queue.put("acme", "acme 3")
    assert (full.value.reason, full.value.retry_after) == ("QUEUE_FULL", 1.0)
    assert queue.put("globex", "globex 0") == "acme 2"
    with pytest.raises(ResourceExhausted):
        queue.put("globex", "globex 1")  # it would only turn the tables
    assert queue.put("initech", "initech 0") == "acme 1"
    with pytest.raises(ResourceExhausted):
        queue.put("umbrella", "umbrella 0")  # each has one: nobody owes it a place


def test_an_organisation_that_may_not_be_served_now_keeps_its_turn() -> None:
    queue: FairQueue[str] = FairQueue(4, "jail")
    for org in ("acme", "globex"):
        queue.put(org, f"{org} 0")
        queue.put(org, f"{org} 1")
    assert queue.pop(lambda item: not item.startswith("acme")) == "globex 0"
    assert queue.pop(lambda item: False) is None
    assert [queue.pop() for _ in range(4)] == ["acme 0", "globex 1", "acme 1", None]


def test_an_item_that_may_not_be_served_now_holds_up_no_other_of_its_organisation() -> None:
    queue: FairQueue[str] = FairQueue(4, "jail")
    for number in range(3):
        queue.put("acme", f"acme {number}")
    assert queue.pop(lambda item: item == "acme 1") == "acme 1"
    assert list(queue) == ["acme 0", "acme 2"]


def test_an_item_that_waits_no_longer_is_not_served() -> None:
    queue: FairQueue[str] = FairQueue(4, "jail")
    queue.put("acme", "acme 0")
    queue.put("globex", "globex 0")
    assert (queue.remove("acme 0"), queue.remove("acme 0")) == (True, False)
    assert (queue.pop(), queue.pop(), len(queue)) == ("globex 0", None, 0)


def test_who_took_least_lately_goes_first() -> None:
    now = [100.0]
    queue: FairQueue[str] = FairQueue(8, "jail", lambda: now[0])
    queue.charge("acme", 5.0)
    queue.charge("globex", 0.01)
    for org in ("acme", "globex", "initech"):
        queue.put(org, f"{org} 0")
        queue.put(org, f"{org} 1")
    assert [queue.pop() for _ in range(4)] == ["initech 0", "initech 1", "globex 0", "globex 1"]
    now[0] += 600
    queue.charge("initech", 0.01)
    queue.put("initech", "initech 2")
    assert [queue.pop() for _ in range(3)] == ["acme 0", "acme 1", "initech 2"], "what was taken is forgotten"


def test_what_is_long_past_takes_no_room() -> None:
    now = [0.0]
    queue: FairQueue[str] = FairQueue(4, "jail", lambda: now[0])
    for number in range(1000):
        now[0] += 60
        queue.charge(f"org-{number}", 1.0)
    assert len(queue._taken) < 10


@given(st.lists(st.sampled_from(ORGS), min_size=1, max_size=40), st.integers(1, 10))
def test_whoever_asks_first_an_organisation_gets_its_share_of_the_places(asking: list[str], most: int) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(most, "jail")
    for number, org in enumerate(asking):
        with contextlib.suppress(ResourceExhausted):
            queue.put(org, (org, number))
    held = Counter(item[0] for item in iter(queue.pop, None))
    asked = Counter(asking)
    assert sum(held.values()) == min(most, len(asking))
    for org in asked:
        assert all(held[org] >= held[other] - 1 for other in held) or held[org] == asked[org]


class Model(RuleBasedStateMachine):
    """Every history of calls that come, are served, are passed over and give up."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 6
        self.queue: FairQueue[tuple[str, int]] = FairQueue(self.most, "jail")
        self.waiting: list[tuple[str, int]] = []
        self.number = 0
        self.owed: dict[str, set[str]] = {}
        """For each organisation that was served: those that waited then and were not served since."""

    @rule(org=st.sampled_from(ORGS))
    def comes(self, org: str) -> None:
        self.number += 1
        item = (org, self.number)
        counts = Counter(waiting for waiting, _ in self.waiting)
        try:
            evicted = self.queue.put(org, item)
        except ResourceExhausted:
            assert len(self.waiting) == self.most
            assert counts[org] >= max(counts.values()) - 1
            return
        if evicted is None:
            assert len(self.waiting) < self.most
        else:
            assert len(self.waiting) == self.most
            assert counts[evicted[0]] == max(counts.values()) > counts[org] + 1
            assert evicted == max(item for item in self.waiting if item[0] == evicted[0])
            self.waiting.remove(evicted)
        self.waiting.append(item)

    @rule(allowed=st.sets(st.sampled_from(ORGS)))
    def is_served(self, allowed: set[str]) -> None:
        could = {org for org, _ in self.waiting} & allowed
        item = self.queue.pop(lambda item: item[0] in allowed)
        if item is None:
            assert not could
            return
        org = item[0]
        assert org in could
        assert item == min(waiting for waiting in self.waiting if waiting[0] == org)
        assert not self.owed.get(org, set()) & could, "served twice while another that could be served waited"
        self.waiting.remove(item)
        for others in self.owed.values():
            others.discard(org)
        self.owed[org] = {other for other, _ in self.waiting} - {org}

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def gives_up(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.waiting))
        assert self.queue.remove(item)
        self.waiting.remove(item)

    @invariant()
    def nothing_is_lost(self) -> None:
        assert len(self.queue) == len(self.waiting) <= self.most
        still = {org for org, _ in self.waiting}
        for others in self.owed.values():
            others &= still


TestEveryHistory = Model.TestCase
