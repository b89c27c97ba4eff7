"""Tickets: good for one digest, for an hour, with our key."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hardpoint_kit.errors import Unauthenticated
from hardpoint_registry.tickets import GOOD_FOR, Tickets

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TICKETS = Tickets(b"k" * 32)
DIGEST = "sha256:" + "0" * 64
TICKET = TICKETS.issue("acme", DIGEST, NOW).text


def test_a_ticket_tells_whose_bytes_it_is_for_until_it_expires() -> None:
    issued = TICKETS.issue("acme", DIGEST, NOW)
    assert issued.expire_time == NOW + GOOD_FOR == NOW + timedelta(hours=1)
    assert TICKETS.owner(issued.text, DIGEST, issued.expire_time - timedelta(seconds=1)) == "acme"
    with pytest.raises(Unauthenticated, match="too old") as refused:
        TICKETS.owner(issued.text, DIGEST, issued.expire_time)
    assert refused.value.reason == "TICKET_INVALID"


def test_a_ticket_of_another_replica_with_the_same_key_is_good() -> None:
    assert Tickets(b"k" * 32).owner(TICKET, DIGEST, NOW) == "acme"


@pytest.mark.parametrize(
    ("ticket", "digest"),
    [
        (TICKET, "sha256:" + "1" * 64),
        (TICKET.replace("acme", "globex"), DIGEST),
        (TICKET.replace(".1", ".9"), DIGEST),
        (Tickets(b"x" * 32).issue("acme", DIGEST, NOW).text, DIGEST),
        ("", DIGEST),
        ("acme", DIGEST),
        ("acme.soon.00", DIGEST),
        ("acme.١٢.00", DIGEST),
        (f"acme.{'9' * 5000}.00", DIGEST),
    ],
)
def test_any_other_ticket_is_refused(ticket: str, digest: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        TICKETS.owner(ticket, digest, NOW)
    assert refused.value.reason == "TICKET_INVALID"
    assert refused.value.fix


@given(st.integers(0, len(TICKET) - 1), st.characters(exclude_categories=["Cs"]))
def test_a_changed_character_makes_it_worthless(position: int, character: str) -> None:
    assume(TICKET[position] != character)
    with pytest.raises(Unauthenticated):
        TICKETS.owner(TICKET[:position] + character + TICKET[position + 1 :], DIGEST, NOW)
