"""What comes before what: an order for it, or the circle because of which there is none."""

from collections.abc import Collection, Mapping, Sequence

Before = Mapping[str, Collection[str]]
"""By id, the ids that come before it; every one of them is a key."""


def in_order(before: Before) -> list[str] | None:
    """All ids, each after those before it and else as they come; None when they go in a circle."""
    waiting, done = list(before), list[str]()
    while waiting:
        ready = next((one for one in waiting if not set(before[one]) - set(done)), None)
        if ready is None:
            return None
        waiting.remove(ready)
        done.append(ready)
    return done


def circle(before: Before) -> Sequence[str]:
    """Ids that go in a circle, each before the next and the last before the first; empty when none do.

    It begins with the one that comes first.
    """
    stuck = dict(before)
    while free := [one for one, others in stuck.items() if not set(others) & stuck.keys()]:
        for one in free:
            del stuck[one]
    if not stuck:
        return ()
    way = [next(iter(stuck))]
    while True:
        back = next(other for other in stuck[way[-1]] if other in stuck)
        if back in way:
            round_ = way[way.index(back) :][::-1]
            first = min(map(list(before).index, round_))
            start = round_.index(list(before)[first])
            return round_[start:] + round_[:start]
        way.append(back)


def all_before(before: Before) -> dict[str, frozenset[str]]:
    """By id, all that comes before it on any way; of what goes in no circle."""
    found: dict[str, frozenset[str]] = {}
    for one in in_order(before) or ():
        found[one] = frozenset(before[one]).union(*(found[other] for other in before[one]))
    return found
