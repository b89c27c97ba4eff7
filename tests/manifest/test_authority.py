"""Authorities: what covers what, and that granting can only narrow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardpoint_manifest.authority import (
    COMPUTE_SECONDS,
    HTTP_METHODS,
    PERMISSIONS,
    SERVED,
    Authority,
    HostRule,
    http_permission,
    nearest,
)

HOSTS = st.sampled_from(
    [
        "a.example.com",
        "b.example.com",
        "a.b.example.com",
        "*.example.com",
        "*.b.example.com",
        "example.com",
        "a.example.com:8443",
        "*.example.com:8443",
        "badexample.com",
    ]
)
AUTHORITIES = st.builds(
    Authority.of, st.sets(st.sampled_from(sorted(PERMISSIONS)), max_size=5), st.sets(HOSTS, max_size=5)
)
TARGETS = [
    (host, port)
    for host in ("a.example.com", "a.b.example.com", "example.com", "badexample.com")
    for port in (443, 8443)
]


@given(AUTHORITIES, AUTHORITIES)
def test_the_intersection_is_what_both_allow(one, other):
    both = one.intersect(other)
    assert both == other.intersect(one)
    assert one.covers(both)
    assert other.covers(both)
    for target in TARGETS:
        assert both.allows_host(*target) == (one.allows_host(*target) and other.allows_host(*target))


@given(AUTHORITIES, AUTHORITIES)
def test_what_is_missing_makes_up_the_difference(asked, granted):
    missing = asked.missing_from(granted)
    assert granted.covers(asked) == (not missing)
    assert Authority(granted.permissions | missing.permissions, granted.hosts | missing.hosts).covers(asked)


@given(AUTHORITIES)
def test_an_authority_covers_itself_and_nothing_is_covered_by_all(authority):
    assert authority.covers(authority)
    assert authority.covers(Authority())
    assert not authority.diff(authority)
    assert Authority().covers(authority) == (not authority)


def test_a_diff_names_both_sides():
    before = Authority.of(["data.read"], ["a.example.com"])
    after = Authority.of(["data.write"], ["a.example.com", "evil.example"])
    diff = after.diff(before)
    assert diff.added == Authority.of(["data.write"], ["evil.example"])
    assert diff.removed == Authority.of(["data.read"])


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "*.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "badexample.com", False),
        ("*.example.com", "a.example.com:8443", False),
        ("a.example.com", "*.a.example.com", False),
        ("a.example.com:443", "a.example.com", True),
        ("A.Example.com", "a.example.COM", True),
    ],
)
def test_host_rules_hold_at_dots_and_ports(wide, narrow, covered):
    assert HostRule.parse(wide).covers(HostRule.parse(narrow)) is covered


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "*.com",
        "localhost",
        "intranet",
        "db.internal",
        "printer.local",
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "2130706433",
        "0x7f.1",
        "127.1",
        "a.example.com:0",
        "a.example.com:99999",
        "a.example.com:",
        "a.example.com:+1",
        "a b.com",
        "https://a.example.com",
        "a.example.com/x",
        "user@a.example.com",
        "-a.example.com",
        "a..example.com",
        "[::1]",
        "a.*.com",
        "é.example.com",
        "a" * 64 + ".com",
        "a.example.com.",
        "0x7f000001",
    ],
)
def test_what_is_no_host_rule(text):
    with pytest.raises(ValueError, match="a"):
        HostRule.parse(text)


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("database.read", "data.read"),
        ("network.http.gett", "network.http.get"),
        ("http.post", "network.http.post"),
        ("network.get", "network.http.get"),
        ("files.read", "file.read"),
        ("email", None),
        ("", None),
        ("zzz", None),
    ],
)
def test_the_nearest_permission(name, close):
    assert nearest(name) == close


def test_what_is_served_is_requests_services_files_and_time():
    assert {
        *map(http_permission, HTTP_METHODS),
        "network.websocket",
        *(f"context.{part}" for part in ("user", "conversation", "files")),
        *(f"data.{what}" for what in ("read", "write", "delete")),
        *(f"ai.{what}" for what in ("call", "embedding", "vision")),
        "integration.email",
        "integration.calendar",
        *(f"compute.{tier}" for tier in COMPUTE_SECONDS),
        *(f"file.{what}" for what in ("read", "write", "temporary")),
    } == SERVED
    assert set(PERMISSIONS) > SERVED
