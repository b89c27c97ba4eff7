"""Names are the identifiers that cross services: what parses is well formed, and prints as it was."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardpoint_kit import names
from hardpoint_kit.errors import InvalidArgument
from hardpoint_kit.names import (
    AgentName,
    AttachmentName,
    CapabilityName,
    ListingName,
    Name,
    ReleaseName,
    RunName,
    StepName,
    kind_of,
    org_of,
)

CLASSES = [
    found for found in vars(names).values() if isinstance(found, type) and issubclass(found, Name) and found is not Name
]
ids = st.from_regex(names.ID, fullmatch=True)
versions = st.from_regex(names.VERSION, fullmatch=True).filter(lambda text: len(text) <= 128)


@given(st.data(), st.sampled_from(CLASSES))
def test_str_and_parse_are_inverse(data: st.DataObject, kind: type[Name]) -> None:
    parts = {part.name: data.draw(versions if part.name == "version" else ids) for part in fields(kind)}
    name = kind(**parts)
    assert kind.parse(str(name)) == name
    assert kind_of(str(name)) == kind.kind
    assert org_of(str(name)) == name.org


@given(st.sampled_from(CLASSES), st.text(max_size=60) | st.from_regex(r"orgs/[^/]*/[a-z]*s/.*", fullmatch=True))
def test_what_parses_prints_as_it_was(kind: type[Name], text: str) -> None:
    try:
        name = kind.parse(text)
    except InvalidArgument:
        return
    assert str(name) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "orgs/acme",
        "orgs/acme/agents/",
        "orgs/acme/agents/a/b",
        "orgs/acme/agents/A",
        "orgs/acme/agents/-a",
        "orgs/acme/agents/a-",
        "orgs/acme/agents/" + "a" * 64,
        "orgs/acme/agents/a\n",
        "orgs/*/agents/a",
        "orgs/acme/agents/..",
        "/orgs/acme/agents/a",
        "orgs/acme/agents/ä",
        "orgs/acme/agents/٣",
    ],
)
def test_malformed_names_say_where_and_how(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        AgentName.parse(text, "agent.name")
    assert caught.value.place == "agent.name"
    assert caught.value.fix == "write it as orgs/{org}/agents/{agent}"


@pytest.mark.parametrize("version", ["1.2", "v1.2.3", "01.2.3", "1.2.3-", "1.2.3-01", "latest", "1.2.3\n", "1.2.٣"])
def test_versions_are_semver(version: str) -> None:
    with pytest.raises(InvalidArgument):
        ReleaseName("acme", "weather", version)


def test_names_know_their_parents() -> None:
    assert ReleaseName("acme", "weather", "1.2.0-rc.1+x").capability_name == CapabilityName("acme", "weather")
    assert ListingName("acme", "weather").capability_name == CapabilityName("acme", "weather")
    assert AttachmentName("acme", "helper", "weather").agent_name == AgentName("acme", "helper")
    assert StepName("acme", "r-1", "s-1").run_name == RunName("acme", "r-1")


@pytest.mark.parametrize(
    ("text", "org"),
    [
        ("orgs/acme", "acme"),
        ("orgs/acme/connections/x/unheard/of", "acme"),
        ("listings/acme.weather/reviews/7", "acme"),
        ("orgs/acme.evil", None),
        ("orgs/", None),
        ("orgs/*", None),
        ("xorgs/acme", None),
        ("listings/acme", None),
    ],
)
def test_org_of_any_resource(text: str, org: str | None) -> None:
    assert org_of(text) == org
