"""M10: what runs on behalf of others never reaches beyond any of them, whatever each was granted."""

from hypothesis import given, settings
from hypothesis import strategies as st

from executor.composed import World
from hardpoint_executor.domain import Calling
from hardpoint_manifest.authority import PERMISSIONS, Authority

HOSTS = ["a.example.com", "b.example.com", "*.example.com", "*.b.example.com", "a.b.example.com", "a.example.com:8443"]
PLACES = [(host, port) for host in ("a.example.com", "a.b.example.com", "c.example.com") for port in (443, 8443)]
SIX = sorted(PERMISSIONS)[:6]
AUTHORITIES = st.builds(Authority.of, st.sets(st.sampled_from(SIX)), st.sets(st.sampled_from(HOSTS)))


@settings(max_examples=1000, deadline=None)
@given(
    caller=AUTHORITIES,
    a_asks=AUTHORITIES,
    a_granted=AUTHORITIES,
    b_asks=AUTHORITIES,
    b_granted=AUTHORITIES,
)
def test_inside_there_is_what_all_of_them_allow_and_nothing_else(
    caller: Authority, a_asks: Authority, a_granted: Authority, b_asks: Authority, b_granted: Authority
) -> None:
    outer = Calling("orgs/o/capabilities/outer/releases/1.0.0", caller, caller)
    a = World().add("a", "", authority=a_asks.intersect(a_granted), asked=a_asks).on_behalf((outer,))
    b = World().add("b", "", authority=b_asks.intersect(b_granted), asked=b_asks)
    inside = b.on_behalf((*a.callers, a.calling)).authority
    everybody = (caller, a_asks, a_granted, b_asks, b_granted)
    for permission in SIX:
        assert (permission in inside.permissions) is all(permission in one.permissions for one in everybody)
    for host, port in PLACES:
        assert inside.allows_host(host, port) is all(one.allows_host(host, port) for one in everybody)
    assert all(one.covers(inside) for one in everybody)
