"""Pushing, publishing and withdrawing releases from the command line."""

from pathlib import Path

import pytest

from cli.conftest import Run
from cli.fakes import WEATHER, World
from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.registry.v1 import registry_pb2

EXAMPLES = Path(__file__).parents[2] / "examples"
FILE = str(EXAMPLES / "weather-capability.yaml")


def test_a_push_makes_a_draft_and_says_what_comes_next(cli: Run, world: World) -> None:
    said = cli("push", FILE)
    assert said.code == 0, said.err
    assert said.out.splitlines() == [
        "✓ weather-lookup@1.0.0 is a draft",
        f"  $ hardpoint test {FILE}",
        "  $ hardpoint publish weather-lookup@1.0.0",
    ]
    assert list(world.uploaded.values()) == [Path(FILE).read_bytes()]


def test_the_same_bytes_again_change_nothing(cli: Run, world: World) -> None:
    first = cli("push", FILE, "--publish", "--json").json
    again = cli("push", FILE, "--publish", "--json").json
    assert again["created"] is False
    assert again["release"]["name"] == first["release"]["name"]
    assert len(world.asked["PublishRelease"]) == 1
    assert "was pushed before, and is published" in cli("push", FILE).out


def test_a_push_can_publish_at_once(cli: Run, world: World) -> None:
    said = cli("push", FILE, "--publish", "--json")
    assert said.json["release"]["state"] == "RELEASE_STATE_PUBLISHED"


def test_a_draft_gives_way_and_a_published_release_does_not(cli: Run, world: World) -> None:
    cli("push", FILE)
    Path("weather.yaml").write_bytes(Path(FILE).read_bytes() + b"\n# changed\n")
    said = cli("push", "weather.yaml")
    assert said.code == 0
    assert "this replaces the draft of the same version" in said.err
    cli("publish", "weather-lookup")
    Path("weather.yaml").write_bytes(Path(FILE).read_bytes() + b"\n# again\n")
    said = cli("push", "weather.yaml")
    assert said.code == 1
    assert "other bytes  [RELEASE_EXISTS]" in said.err
    assert "fix:   raise the version" in said.err
    assert len(world.asked["DeleteRelease"]) == 1


def test_a_file_with_errors_never_leaves_the_machine(cli: Run, world: World) -> None:
    said = cli("push", str(EXAMPLES / "currency-converter.yaml"), "--json")
    assert said.code == 1
    assert said.json["ok"] is False
    assert not world.asked["UploadArtifact"]


@pytest.mark.parametrize("pushed_before", [False, True])
def test_a_push_can_change_who_sees_the_capability(pushed_before: bool, cli: Run, world: World) -> None:
    if pushed_before:
        cli("push", FILE)
    assert cli("push", FILE, "--visibility", "public").code == 0
    assert world.capabilities[WEATHER].visibility == registry_pb2.VISIBILITY_PUBLIC


def test_publish_takes_the_newest_draft(cli: Run, published: World) -> None:
    name = f"{WEATHER}/releases/1.1.0"
    published.releases[name] = registry_pb2.Release(name=name, state=registry_pb2.RELEASE_STATE_DRAFT)
    assert "weather-lookup@1.1.0 is published" in cli("publish", "weather-lookup").out
    said = cli("publish", "weather-lookup")
    assert said.code == 1
    assert "weather-lookup has no draft" in said.err


@pytest.mark.parametrize("text", ["weather-lookup@1.0.0", "acme/weather-lookup@1.0.0", f"{WEATHER}/releases/1.0.0"])
def test_a_release_has_several_spellings(text: str, cli: Run, published: World) -> None:
    assert cli("publish", text).code == 0
    assert published.asked["PublishRelease"][0].name == f"{WEATHER}/releases/1.0.0"


def test_a_rejected_release_shows_its_findings(cli: Run, published: World) -> None:
    published.rejected_for = [manifest_pb2.Finding(line=3, column=7, message="a key in the text", fix="remove it")]
    said = cli("publish", "weather-lookup@1.0.0")
    assert said.code == 1
    assert "✗ weather-lookup@1.0.0 is rejected:" in said.out
    assert "3:7  a key in the text  remove it" in said.out


def test_yank_and_deprecate(cli: Run, published: World) -> None:
    said = cli("yank", "weather-lookup@1.0.0", "--note", "wrong unit", "--json")
    assert said.json["release"]["state"] == "RELEASE_STATE_YANKED"
    assert said.json["release"]["yank_note"] == "wrong unit"
    said = cli("deprecate", "weather-lookup", "--note", "use forecast", "--json")
    assert said.json["capability"]["deprecation_note"] == "use forecast"
    assert "which: weather-lookup@1.0.0" in cli("yank", "weather-lookup").err
    assert "leave out the version" in cli("deprecate", "weather-lookup@1.0.0").err
