"""Rules of the nouns: which moves a release allows, and who sees a capability."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hardpoint_kit.caller import Caller
from hardpoint_kit.errors import Conflict, InvalidArgument, StaleEtag
from hardpoint_kit.masks import etag
from hardpoint_kit.names import CapabilityName, ReleaseName
from hardpoint_manifest.finding import Finding, Severity
from hardpoint_registry.checks import check_submission
from hardpoint_registry.domain import (
    Artifact,
    Capability,
    CapabilityState,
    Release,
    ReleaseState,
    Submission,
    View,
    Visibility,
)
from registry.client import weather

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = datetime(2026, 3, 2, tzinfo=UTC)
NAME = CapabilityName("acme", "weather")
ERROR = Finding("rule", Severity.ERROR, "wrong")
WARNING = Finding("rule", Severity.WARNING, "odd")


def release(state: ReleaseState) -> Release:
    manifest = check_submission(weather(), "weather.yaml", None).manifest
    assert manifest is not None
    return Release(ReleaseName("acme", "weather", "1.0.0"), manifest, Artifact("sha256:0", 1), NOW, state=state)


MOVES: dict[str, Callable[[Release], object]] = {
    "submit": Release.submitted,
    "check": lambda r: r.checked((WARNING,), LATER),
    "reject": lambda r: r.checked((WARNING, ERROR), LATER),
    "yank": lambda r: r.yanked("broken"),
    "delete": Release.require_deletable,
}
ALLOWED = {
    ("draft", "submit"): "checking",
    ("checking", "submit"): "checking",
    ("checking", "check"): "published",
    ("checking", "reject"): "rejected",
    ("published", "yank"): "yanked",
    ("draft", "delete"): None,
    ("rejected", "delete"): None,
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("state", ReleaseState)
def test_a_release_allows_these_moves_and_no_other(state: ReleaseState, move: str) -> None:
    if (state, move) in ALLOWED:
        after = MOVES[move](release(state))
        assert (after.state if isinstance(after, Release) else None) == ALLOWED[state, move]
    else:
        with pytest.raises(Conflict) as refused:
            MOVES[move](release(state))
        assert refused.value.metadata["state"] == state.name
        assert refused.value.fix


def test_publication_is_dated_and_rejection_is_not() -> None:
    checking = release(ReleaseState.CHECKING)
    assert checking.checked((WARNING,), LATER).publish_time == LATER
    assert checking.checked((ERROR,), LATER).publish_time is None
    assert checking.checked((ERROR,), LATER).findings == (ERROR,)


def test_every_move_changes_the_etag() -> None:
    states = [release(ReleaseState.DRAFT)]
    states.append(states[-1].submitted())
    states.append(states[-1].checked((), LATER))
    states.append(states[-1].yanked("broken"))
    assert len({one.etag for one in states}) == len(states)


@pytest.mark.parametrize(
    ("org", "role", "sees", "drafts"),
    [
        ("acme", "admin", set(Visibility), True),
        ("acme", "builder", set(Visibility), True),
        ("acme", "operator", set(Visibility), True),
        ("acme", "service", set(Visibility), True),
        ("acme", "viewer", {Visibility.ORGANIZATION, Visibility.PUBLIC}, True),
        ("acme", "agent", {Visibility.ORGANIZATION, Visibility.PUBLIC}, True),
        ("globex", "admin", {Visibility.PUBLIC}, False),
        ("globex", "service", {Visibility.PUBLIC}, False),
    ],
)
def test_what_is_seen_follows_from_org_and_role(org: str, role: str, sees: set[Visibility], drafts: bool) -> None:
    view = View.of(Caller("ada", org, frozenset({role})), "acme")
    assert (set(view.visibilities), view.drafts) == (sees, drafts)


def test_a_capability_is_described_by_its_latest_release_and_before_that_by_its_newest_draft() -> None:
    first = release(ReleaseState.DRAFT).manifest
    second = first.model_copy(update={"version": "2.0.0", "name": "Sky"})
    fresh = Capability(NAME, Visibility.PRIVATE, NOW, NOW)

    assert fresh.drafted(second, NOW).display_name == "Sky"
    assert fresh.drafted(second, NOW).latest_version == ""
    offered = fresh.offering(first, LATER)
    assert (offered.display_name, offered.latest_version, offered.update_time) == ("Weather", "1.0.0", LATER)
    assert offered.drafted(second, LATER) == offered
    assert offered.offering(None, LATER) == replace(offered, latest_version="")


def test_only_the_visibility_can_be_updated_and_only_from_what_was_read_last() -> None:
    capability = Capability(NAME, Visibility.PRIVATE, NOW, NOW, icon="*")
    patch = replace(capability, visibility=Visibility.PUBLIC, icon="?")

    changed = capability.updated(patch, (), etag(capability), LATER)
    assert (changed.visibility, changed.icon, changed.update_time) == (Visibility.PUBLIC, "*", LATER)
    with pytest.raises(StaleEtag):
        changed.updated(patch, (), etag(capability), LATER)
    with pytest.raises(InvalidArgument, match="cannot update icon"):
        capability.updated(patch, ("icon",), "", LATER)


def test_a_capability_is_deprecated_once() -> None:
    deprecated = Capability(NAME, Visibility.PRIVATE, NOW, NOW).deprecated("use sky", LATER)
    assert (deprecated.state, deprecated.deprecation_note) == (CapabilityState.DEPRECATED, "use sky")
    with pytest.raises(Conflict):
        deprecated.deprecated("again", LATER)


@pytest.mark.parametrize("filename", ["", "../plugin.py", "a/b.yaml", "a\\b.yaml", "a\n.yaml", "a\0.yaml"])
def test_a_file_name_is_one_name(filename: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        Submission("sha256:0", filename)
    assert "filename" in refused.value.violations
