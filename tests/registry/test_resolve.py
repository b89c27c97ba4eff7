"""Which release a constraint means, and the order of versions as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardpoint_kit.errors import InvalidArgument
from hardpoint_manifest.version import Version
from hardpoint_registry.resolve import HIGHEST, precedence, resolve

NUMBER = st.integers(0, 999_999_999).map(str) | st.sampled_from(["0", "1", "9", "10", "100"])
WORD = st.from_regex(r"[0-9A-Za-z-]*[A-Za-z-][0-9A-Za-z-]*", fullmatch=True).filter(lambda word: len(word) <= 10)
PRERELEASE = st.lists(NUMBER | WORD, max_size=3).map(".".join).map(lambda text: f"-{text}" if text else "")
VERSION = st.builds("{}.{}.{}{}".format, NUMBER, NUMBER, NUMBER, PRERELEASE).filter(lambda text: len(text) <= 64)


@given(VERSION, VERSION)
def test_precedence_sorts_as_versions_do(one: str, other: str) -> None:
    assert (precedence(one) < precedence(other)) == (Version.parse(one) < Version.parse(other))
    assert (precedence(one) == precedence(other)) == (one == other)
    assert precedence(one) < HIGHEST


@given(st.lists(VERSION, max_size=6))
def test_the_latest_is_the_highest_that_is_no_prerelease(versions: list[str]) -> None:
    final = [version for version in versions if "-" not in version]
    assert resolve(versions, "") == max(final, key=precedence, default=None)


VERSIONS = ("1.0.0", "1.2.0", "1.10.0", "2.0.0-rc.1", "2.4.1", "3.0.0-beta")


@pytest.mark.parametrize(
    ("constraint", "best"),
    [
        ("", "2.4.1"),
        ("latest", "2.4.1"),
        ("1.2.0", "1.2.0"),
        (">=2,<3", "2.4.1"),
        ("^1.2", "1.10.0"),
        ("~1.2.0", "1.2.0"),
        ("1.x", "1.10.0"),
        ("3.0.0-beta", "3.0.0-beta"),
        (">=3", None),
        ("4.0.0", None),
    ],
)
def test_a_constraint_means_the_highest_version_that_fits(constraint: str, best: str | None) -> None:
    assert resolve(VERSIONS, constraint) == best


@pytest.mark.parametrize("constraint", ["newest", ">>1", "1.2.3.4", "^", "1.0.0 || ;drop"])
def test_a_constraint_that_cannot_be_read_is_refused(constraint: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        resolve(VERSIONS, constraint)
    assert "constraint" in refused.value.violations
