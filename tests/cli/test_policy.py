"""What people say and see of their organisation's policy."""

from cli.conftest import Run
from cli.fakes import World


def test_a_policy_is_shown_and_changed(cli: Run, world: World) -> None:
    assert "which means" in cli("policy").out
    said = cli("policy", "set", "--single-use", "--no-shared-runs", "--json").json["policy"]
    assert said["single_use"] is True
    (asked,) = world.asked["UpdatePolicy"]
    assert sorted(asked.update_mask.paths) == ["shared_runs", "single_use"]
    assert "every call of code has a jail of its own" in " ".join(cli("policy").out.split())
    assert "share a jail" in cli("policy", "set", "--no-single-use", "--shared-runs").out


def test_a_change_that_says_nothing_is_refused(cli: Run, world: World) -> None:
    assert cli("policy", "set").code == 2
    assert cli("policy", "--json", "set", "--single-use").code == 2
    assert not world.asked["UpdatePolicy"]
