"""The folder a jail lives in: complete, readable, without what a plugin must not find, safe to build twice at once."""

import asyncio
import os
from pathlib import Path

import pytest

from hardpoint_executor.jail import rootfs
from hardpoint_executor.jail.rootfs import RootfsError, build_rootfs, default_folder

LANGUAGES = ("python", "javascript")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_root_holds_an_interpreter_and_no_way_further(language: str) -> None:
    built = build_rootfs(language, default_folder())
    names = {path.name for path in built.root.rglob("*")}
    assert (built.root / built.executable.lstrip("/")).exists()
    assert not {"sh", "bash", "env", "ldd", "shadow", "site-packages", "ensurepip"} & names
    assert not [name for name in names if name.startswith(("_ssl", "_hashlib", "libssl", "libcrypto"))]
    assert {path.name for path in built.root.iterdir()} <= {"etc", "layers", "lib", "lib64", "sdk", "tmp", "usr"}
    for path in (built.root, *built.root.rglob("*"), built.sdk, *built.sdk.rglob("*")):
        assert path.stat().st_mode & 0o044 == 0o044, path
        assert not path.stat().st_mode & 0o6022, path


async def test_concurrent_builders_end_with_one_folder(reachable: Path) -> None:
    built = await asyncio.gather(*(asyncio.to_thread(build_rootfs, "javascript", reachable) for _ in range(3)))
    assert len(set(built)) == 1
    assert set(os.listdir(reachable)) == {built[0].root.name, built[0].sdk.name}


def test_a_build_that_fails_leaves_nothing(reachable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rootfs.shutil, "copy2", full)
    with pytest.raises(RootfsError, match="No space left"):
        build_rootfs("javascript", reachable)
    assert list(reachable.iterdir()) == []


def test_a_folder_that_the_jails_of_root_cannot_reach_is_refused(
    reachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rootfs.os, "geteuid", lambda: 0)
    closed = reachable / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(RootfsError, match="choose another state folder"):
        build_rootfs("python", closed / "jail")


def test_a_library_that_is_missing_is_named(reachable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(reachable))
    with pytest.raises(RootfsError, match="libc-bin"):
        build_rootfs("javascript", reachable)
