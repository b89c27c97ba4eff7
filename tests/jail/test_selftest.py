"""Every wall of the self-test is one that can fall: a jail without it is found out, by the name of the wall."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hardpoint_executor.jail import Jails, PoolOptions, selftest
from hardpoint_executor.jail.calls import Calls
from hardpoint_executor.jail.cgroups import Cgroups, prepare_cgroups
from hardpoint_executor.jail.launch import Launcher
from hardpoint_executor.jail.pool import Pool
from hardpoint_executor.jail.rootfs import Rootfs, build_rootfs, default_folder
from hardpoint_executor.jail.selftest import examine
from hardpoint_executor.jail.single_use import SINGLE_USE, JailProcess
from hardpoint_executor.jail.walls import FORBIDDEN, OF_ENGINE

from .altered import altered

alone = pytest.mark.usefixtures("alone")
ENGINES = {"python": "python", "javascript": "node"}
ALLOWED = "exit, exit_group, execve, tgkill,"
NO_FORK = "clone { (clone_flags & NEW_NAMESPACES) == 0 && (clone_flags & CLONE_THREAD) == CLONE_THREAD }"
AS_ROOT = """
uidmap { inside_id: "65534" outside_id: "0" count: 1 }
gidmap { inside_id: "65534" outside_id: "0" count: 1 }
"""
ROOT_INSIDE = AS_ROOT.replace('"0"', '"100000"').replace('"65534"', '"0"')
TMP = 'options: "size=16m,nr_inodes=1024,mode=0700" nosuid: true nodev: true noexec: true'
SOCKETS = {"network_ip", "network_unix", "network_netlink", "network_other"}
UNFILTERED = "ALLOW { clone3, io_uring_setup }, ERRNO(38) { close_range,"
IOCTLS = "ioctl { cmd == 0x5401 || cmd == 0x5451 || cmd == 0x5421 || cmd == 0x541B }"


async def down(language: str, rootfs: Rootfs | None = None, cgroups: Cgroups | None = None) -> set[str]:
    """The names of the walls that are found down in the jails as they are made now."""
    rootfs = rootfs or build_rootfs(language, default_folder())
    config = (cgroups or prepare_cgroups()).config
    pool = Pool(Launcher(SINGLE_USE[ENGINES[language]], rootfs, config), PoolOptions(waiting=1, queue_seconds=10))
    await pool.fill()
    assert pool.failure == ""
    try:
        return {result.wall for result in await examine(Calls(pool), ENGINES[language], "") if not result.ok}
    finally:
        await pool.close()


@pytest.mark.parametrize(("language", "engine"), ENGINES.items())
async def test_every_wall_holds(jails: Jails, tier: str, language: str, engine: str) -> None:
    calls = jails._calls[engine, tier == "slots" and language == "python"]
    results = await examine(calls, engine, engine, thorough=True)
    assert [result for result in results if not result.ok] == []
    assert len(results) >= 30
    assert {result.wall for result in results} == {*OF_ENGINE[engine], *FORBIDDEN[engine]}
    assert all(result.meaning and result.fix for result in results)


async def test_every_wall_is_tried() -> None:
    """Nothing is counted as held that no probe said: an empty answer is every wall down."""

    class Silent:
        async def run(self, call, door, on_event=None):
            return selftest.Outcome(selftest.OutcomeKind.OK, value={})

        async def describe(self, source, filename, limits=None):
            return selftest.Outcome(selftest.OutcomeKind.OK)

    for engine in ENGINES.values():
        results = await examine(Silent(), engine, engine, thorough=True)
        assert {result.wall for result in results if result.ok} == set()


@alone
@pytest.mark.parametrize(
    ("name", "old", "new", "found"),
    [
        ("python.cfg", 'envar: "LANG=C.UTF-8"', 'envar: "LANG=C.UTF-8"\nenvar: "TOKEN=x"', {"environment"}),
        ("python.cfg", "keep_caps: false", "keep_caps: true", {"capabilities", "no_capabilities"}),
        ("python.cfg", "clone_newuts: true", "clone_newuts: false", {"hostname", "namespaces"}),
        ("python.cfg", "clone_newipc: true", "clone_newipc: false", {"namespaces"}),
        ("python.cfg", "clone_newnet: true", "clone_newnet: false", {"namespaces"}),
        ("python.cfg", "${id_maps}", ROOT_INSIDE, {"user", "groups"}),
        ("python.cfg", "rlimit_core: 0", "rlimit_core: 1", {"core_dumps"}),
        ("python.cfg", "rlimit_nproc_type: VALUE", "", {"limits"}),
        ("python.cfg", TMP, TMP.replace("size=16m", "size=64m"), {"tmp_size"}),
        ("python.cfg", TMP, TMP.replace("nr_inodes=1024", "nr_inodes=4096"), {"tmp_files"}),
        ("python.cfg", TMP, TMP.replace("noexec: true", ""), {"tmp_programs"}),
        ("python.cfg", "${id_maps}", AS_ROOT, {"outside_user"}),
        (
            "base.policy",
            ALLOWED,
            f"{ALLOWED} socket,",
            SOCKETS,
        ),
        ("base.policy", ALLOWED, f"{ALLOWED} sendmsg,", {"descriptor_passing"}),
        ("base.policy", ALLOWED, f"{ALLOWED} symlink, symlinkat, link, linkat,", {"links"}),
        ("base.policy", NO_FORK, "clone { (clone_flags & NEW_NAMESPACES) == 0 }", {"fork", "processes"}),
        ("base.policy", NO_FORK, "clone", {"fork", "processes", "new_namespaces"}),
        ("base.policy", ALLOWED, f"{ALLOWED} memfd_create,", {"memory_programs"}),
        ("base.policy", ALLOWED, f"{ALLOWED} kill,", {"signals"}),
        ("base.policy", ALLOWED, f"{ALLOWED} prctl,", {"own_filters"}),
        ("base.policy", ALLOWED, f"{ALLOWED} shmget,", {"shared_memory"}),
        ("base.policy", "setuid, setgid,", "setgid,", {"violation"}),
        (
            "base.policy",
            "ERRNO(38) { clone3, close_range, io_uring_setup,",
            UNFILTERED,
            {"clone3", "io_uring", "processes"},
        ),
        ("base.policy", IOCTLS, "ioctl", {"terminal"}),
    ],
)
async def test_a_wall_that_is_down_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, old: str, new: str, found: set[str]
) -> None:
    altered(monkeypatch, tmp_path, name, old, new)
    assert await down("python") == found


@alone
async def test_a_jail_without_a_filter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    altered(monkeypatch, tmp_path, "python.cfg", 'seccomp_policy_file: "${policy}"', "disable_no_new_privs: true")
    text = (tmp_path / "python.cfg").read_text()
    (tmp_path / "python.cfg").write_text(text.replace("disable_no_new_privs: false", ""))
    found = await down("python")
    assert found > {
        "seccomp",
        "no_new_privs",
        "violation",
        "fork",
        "network_ip",
        "io_uring",
        "new_namespaces",
        "own_filters",
    }


@alone
async def test_what_lies_in_the_root_folder_is_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, roomy: Path
) -> None:
    built = build_rootfs("python", default_folder())
    copy = Rootfs(roomy / "root", roomy / "sdk", built.executable, built.layers)
    shutil.copytree(built.root, copy.root, symlinks=True)
    shutil.copytree(built.sdk, copy.sdk)
    for name in ("proc/self", "sys/kernel", "dev/null", "etc/shadow"):
        (copy.root / name).mkdir(parents=True)
    for folder in (copy.root, copy.sdk):
        folder.chmod(0o777)
    altered(monkeypatch, tmp_path, "python.cfg", "is_bind: true rw: false", "is_bind: true rw: true")
    assert await down("python", copy) == {
        "proc",
        "sys",
        "dev",
        "host_files",
        "root_folder",
        "sdk_folder",
        "layers_folder",
    }


@alone
async def test_a_jail_without_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(JailProcess, "limit_memory", lambda self, plugin_bytes: None)
    altered(monkeypatch, tmp_path, "python.cfg", "rlimit_as: 4096", "rlimit_as_type: INF")
    text = (tmp_path / "python.cfg").read_text()
    (tmp_path / "python.cfg").write_text(text.replace("rlimit_nproc_type: VALUE", ""))
    assert await down("python", cgroups=Cgroups("none")) == {"memory", "threads", "limits"}


@alone
@pytest.mark.parametrize(
    ("name", "old", "new", "found"),
    [
        ("node.cfg", 'envar: "LANG=C.UTF-8"', 'envar: "LANG=C.UTF-8"\nenvar: "TOKEN=x"', {"environment"}),
        ("node.cfg", "clone_newpid: true", "clone_newpid: false", {"process_ids", "namespaces"}),
        ("base.policy", ALLOWED, f"{ALLOWED} kill,", {"signals"}),
        ("base.policy", ALLOWED, f"{ALLOWED} socket, connect, bind, setsockopt,", {"network_ip", "network_unix"}),
    ],
)
async def test_a_wall_that_is_down_around_node_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, old: str, new: str, found: set[str]
) -> None:
    altered(monkeypatch, tmp_path, name, old, new)
    assert await down("javascript") == found


@pytest.fixture
def roomy() -> Iterator[Path]:
    """A folder that a jail's outside user can reach."""
    folder = Path(tempfile.mkdtemp(dir=default_folder()))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
