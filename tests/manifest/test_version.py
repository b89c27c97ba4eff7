"""Versions and constraints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardpoint_manifest.version import Constraint, Version, best

NUMBERS_GIVEN = ("1.0.0", "1.2.0", "1.9.3", "2.0.0-rc.1", "2.0.0", "2.5.0", "3.0.0-beta", "3.0.0-rc.1")
VERSIONS = [Version.parse(text) for text in NUMBERS_GIVEN]


@pytest.mark.parametrize(
    ("constraint", "chosen"),
    [
        ("latest", "2.5.0"),
        ("*", "2.5.0"),
        ("1.x", "1.9.3"),
        ("1", "1.9.3"),
        ("^1.2", "1.9.3"),
        ("~1.2.0", "1.2.0"),
        (">=2,<3", "2.5.0"),
        (">= 1.0.0 , < 1.9", "1.2.0"),
        ("1.2.0", "1.2.0"),
        ("=1.2.0", "1.2.0"),
        ("2.0.0-rc.1", "2.0.0-rc.1"),
        (">=3.0.0-beta", "3.0.0-rc.1"),
        (">=3.0.0", None),
        ("^4", None),
    ],
)
def test_the_best_version(constraint, chosen):
    found = best(VERSIONS, Constraint.parse(constraint))
    assert (str(found) if found else None) == chosen


@pytest.mark.parametrize("text", ["", "foo", ">>1", "1.2.3.4", "01.2.3", "^", "1.2.3 <", "x" * 200, "latest,1"])
def test_what_is_no_constraint(text):
    with pytest.raises(ValueError, match="is not a constraint"):
        Constraint.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.0", "v1.0.0", "1.0.0+build", "01.0.0", "1.0.0-" + "a" * 64, " 1.0.0", "1.0.0\n", "1.0.9999999999"],
)
def test_what_is_no_version(text):
    with pytest.raises(ValueError, match="a"):
        Version.parse(text)


NUMBERS = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))


@given(NUMBERS, NUMBERS)
def test_versions_are_ordered_by_number(one, other):
    first, second = (Version.parse(".".join(map(str, numbers))) for numbers in (one, other))
    assert (first < second) == (one < other)
    assert (first == second) == (one == other)
    assert Version.parse(f"{first}-rc.1") < first


@given(st.lists(NUMBERS, max_size=5), st.integers(0, 20))
def test_the_best_version_is_allowed_and_no_allowed_one_is_higher(numbers, major):
    versions = [Version.parse(".".join(map(str, one))) for one in numbers]
    constraint = Constraint.parse(f"^{major}")
    found = best(versions, constraint)
    allowed = [version for version in versions if constraint.allows(version)]
    assert (found is None) == (not allowed)
    assert found is None or found == max(allowed)
