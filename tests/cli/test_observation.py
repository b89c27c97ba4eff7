"""Least authority from watched runs: what is written and was not needed goes, and nothing that was needed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardpoint_cli.observation import Minimum, Seen, minimum
from hardpoint_manifest.authority import Authority
from hardpoint_manifest.check import check
from hardpoint_manifest.finding import apply_patch
from hardpoint_manifest.load import load, load_code

CODE = {
    "id": "reader",
    "version": "1.0.0",
    "actions": [{"id": "read", "declared": True}, {"id": "list", "declared": True}],
}
API = {
    "id": "reader",
    "version": "1.0.0",
    "actions": [{"id": "read"}],
    "integration": {"type": "api", "endpoint": "https://api.example.com/x"},
}


def observed(written: dict[str, Any], *, code: bool, seconds: float = 0.1, **used: list[str]) -> tuple[Minimum, Any]:
    """The minimum of a document with these lists, and the document with the patch applied."""
    data = {**CODE, **written} if code else {"capability": {**API, **written}}
    document = load_code(b"", "reader.py", data) if code else load(json.dumps(data).encode(), "reader.json")
    manifest = check(document).manifest
    assert manifest is not None
    seen = Seen().and_run("read", Authority.of(used.get("permissions", ()), used.get("hosts", ())), seconds)
    least = minimum(document, manifest, seen)
    patched = apply_patch(document.data, least.patch)
    return least, patched if code else patched["capability"]


def test_what_was_not_used_is_removed_and_what_was_is_kept() -> None:
    written = {
        "permissions": ["network.http.get", "network.http.post", "compute.light", "compute.heavy"],
        "hosts": ["a.example.com", "b.example.com"],
    }
    least, patched = observed(written, code=True, permissions=["network.http.get"], hosts=["b.example.com"])
    assert patched["permissions"] == ["network.http.get", "compute.light"]
    assert patched["hosts"] == ["b.example.com"]
    assert least.removed == ("network.http.post", "compute.heavy", "a.example.com")
    assert least.never_run == ("list",)
    assert least.report.ok


def test_a_wildcard_becomes_the_hosts_that_were_asked() -> None:
    written = {"hosts": ["*.example.com", "other.test"], "allowed_domains": ["x.example.com", "y.example.com"]}
    _, patched = observed(written, code=True, hosts=["y.example.com", "x.example.com"])
    assert patched["hosts"] == ["x.example.com", "y.example.com"]
    assert patched["allowed_domains"] == ["x.example.com", "y.example.com"]


def test_a_request_that_is_declared_keeps_what_it_needs_though_no_example_made_it() -> None:
    written = {"permissions": ["network.http.get", "network.http.put", "compute.light"], "hosts": ["api.example.com"]}
    least, patched = observed(written, code=False)
    assert (patched["permissions"], patched["hosts"]) == (["network.http.get"], ["api.example.com"])
    assert least.report.ok


def test_what_is_the_least_already_has_no_patch() -> None:
    written = {"permissions": ["network.http.get"], "hosts": ["a.example.com"]}
    least, _ = observed(written, code=True, permissions=["network.http.get"], hosts=["a.example.com"])
    assert (least.patch, least.removed) == ((), ())


@pytest.mark.parametrize(
    ("tiers", "seconds", "kept"),
    [
        (["light"], 0.4, ["light"]),
        (["light"], 0.9, ["light"]),
        (["moderate"], 0.4, []),
        (["moderate"], 0.6, ["moderate"]),
        (["light", "moderate"], 0.6, ["moderate"]),
        (["light", "heavy"], 0.6, ["heavy"]),
        (["moderate", "heavy"], 40.0, ["heavy"]),
        (["moderate"], 9.0, ["moderate"]),
    ],
)
def test_the_lightest_tier_with_room_stays(tiers: list[str], seconds: float, kept: list[str]) -> None:
    written = {"permissions": [f"compute.{tier}" for tier in tiers]}
    _, patched = observed(written, code=True, seconds=seconds)
    assert patched["permissions"] == [f"compute.{tier}" for tier in kept]


def test_a_patch_that_the_check_refuses_is_told() -> None:
    config = [{"key": "K", "type": "secret", "hosts": ["spare.example.com"]}]
    written = {"hosts": ["a.example.com", "spare.example.com"], "config": config}
    least, _ = observed(written, code=True, hosts=["a.example.com"])
    assert not least.report.ok


HOSTS = st.lists(st.sampled_from(["*.a.test", "x.a.test", "y.a.test", "b.test", "b.test:8443"]), unique=True)
ASKED = st.frozensets(st.sampled_from(["x.a.test", "y.a.test", "z.y.a.test", "b.test", "b.test:8443"]))
NAMES = ["network.http.get", "network.http.post", "file.temporary"]


@given(HOSTS, ASKED, st.lists(st.sampled_from(NAMES), unique=True), st.frozensets(st.sampled_from(NAMES)))
def test_the_minimum_allows_all_that_was_used_and_is_within_what_was_written(
    hosts: list[str], asked: frozenset[str], permissions: list[str], needed: frozenset[str]
) -> None:
    wide = Authority.of(permissions, hosts)
    used = Authority(needed, asked).intersect(wide)
    _, patched = observed(
        {"permissions": permissions, "hosts": hosts}, code=True, permissions=[*used.permissions], hosts=[*used.hosts]
    )
    least = Authority.of(patched["permissions"], patched["hosts"])
    assert wide.covers(least)
    assert least.covers(used)
    assert used.covers(least)
