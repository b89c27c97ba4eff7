"""Names as people write them are the server's names, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardpoint_cli.names import capability, capability_and_version, release, run, short
from hardpoint_kit.errors import InvalidArgument

OWN = "orgs/acme"
ids = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
versions = st.tuples(*[st.integers(0, 99)] * 3).map(lambda parts: ".".join(map(str, parts)))


@given(org=ids, id=ids, version=versions)
def test_what_is_printed_can_be_typed(org: str, id: str, version: str) -> None:
    name = f"orgs/{org}/capabilities/{id}"
    assert str(capability(short(name, OWN), OWN)) == name
    assert str(release(short(f"{name}/releases/{version}", OWN), OWN)) == f"{name}/releases/{version}"


@pytest.mark.parametrize(
    ("text", "name", "version"),
    [
        ("weather", "orgs/acme/capabilities/weather", ""),
        ("globex/weather", "orgs/globex/capabilities/weather", ""),
        ("weather@>=2,<3", "orgs/acme/capabilities/weather", ">=2,<3"),
        ("globex/weather@latest", "orgs/globex/capabilities/weather", "latest"),
        ("listings/globex.weather", "orgs/globex/capabilities/weather", ""),
        ("orgs/globex/capabilities/weather@^1", "orgs/globex/capabilities/weather", "^1"),
        ("orgs/globex/capabilities/weather/releases/1.0.0", "orgs/globex/capabilities/weather", "1.0.0"),
    ],
)
def test_spellings(text: str, name: str, version: str) -> None:
    found, constraint = capability_and_version(text, OWN)
    assert (str(found), constraint) == (name, version)


@pytest.mark.parametrize("text", ["", "/", "a/b/c", "Weather", "../x", "orgs/acme/agents/a", "weather lookup"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        capability(text, OWN)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("orgs/acme/agents/helper", "helper"),
        ("orgs/globex/agents/helper", "globex/helper"),
        ("orgs/acme/agents/helper/attachments/weather", "weather"),
        ("orgs/acme/runs/r/steps/1", "1"),
        ("orgs/acme", "orgs/acme"),
        ("", ""),
    ],
)
def test_short_names(name: str, text: str) -> None:
    assert short(name, OWN) == text


def test_runs() -> None:
    assert run("01a2", OWN) == "orgs/acme/runs/01a2"
    assert run("orgs/acme/runs/01a2", OWN) == "orgs/acme/runs/01a2"
    with pytest.raises(InvalidArgument):
        run("orgs/acme/agents/a", OWN)
