"""Owns the file tree of the image, put together without a container engine from what the Dockerfile would install.

The build steps of the Dockerfile that are ours run as they stand: the paths of its COPY lines, the contracts, the
wheel. What is downloaded there is taken from this machine instead, and nothing more than the image would have: the
packages of a minimal Debian, this Python in the place of its own, and the locked packages of `requirements/run.txt`.
So a library that the image lacks is lacking here. Needs Debian, or a system derived from it.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterable
from compileall import compile_dir
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy/docker/Dockerfile").read_text()
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
_VENV = Path("opt/hardpoint")
_PACKAGES = _VENV / "lib" / VERSION / "site-packages"
_SLIM_LEAVES_OUT = ("/usr/share/doc/", "/usr/share/man/", "/usr/share/locale/", "/usr/share/info/")
_PYTHON_LEAVES_OUT = ("site-packages", "dist-packages", "test", "tests", "idlelib", "config-*", "*.a")
_ACCOUNTS = "root:x:0:0:root:/root:/bin/bash\nhardpoint:x:10001:10001::/var/lib/hardpoint:/bin/sh\n"


def assemble(tree: Path, work: Path) -> None:
    """Fill `tree`; `work` is for files on the way. Raises RuntimeError when this machine cannot lend the parts."""
    _copy_debian(tree)
    _copy_python(tree)
    _copy_locked_packages(tree)
    _install_wheel(tree, _wheel(work))
    for folder in ("dev", "proc", "sys", "tmp", "run", "etc", "var/lib/hardpoint/jail"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    (tree / "tmp").chmod(0o1777)
    (tree / "etc/passwd").write_text(_ACCOUNTS)
    subprocess.run(["ldconfig", "-r", tree], check=True, timeout=60)


def entrypoint() -> list[str]:
    """The ENTRYPOINT of the image."""
    return re.findall(r'"([^"]+)"', re.search(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.M)[1])


def environment() -> dict[str, str]:
    """What ENV gives to every process of the image."""
    given = dict(pair.split("=", 1) for pair in re.search(r"^ENV (.*)$", DOCKERFILE, re.M)[1].split())
    standard = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return given | {"PATH": given["PATH"].replace("$PATH", standard)}


def user() -> int:
    """The USER of the image."""
    return int(re.search(r"^USER (\d+)$", DOCKERFILE, re.M)[1])


def _copy_debian(tree: Path) -> None:
    """What a minimal Debian has: the essential and required packages, apt, and what these depend on."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / "usr" / name).mkdir(parents=True)
        (tree / name).symlink_to(f"usr/{name}")
    wanted, packages = _debian_packages()
    missing = wanted - packages
    if missing:
        raise RuntimeError(f"this machine lacks packages of the image: apt-get install {' '.join(sorted(missing))}")
    listed = subprocess.run(["dpkg-query", "-L", *sorted(packages)], capture_output=True, text=True, check=True)
    for line in listed.stdout.splitlines():
        path = Path(line)
        if line.startswith("/") and not line.startswith(_SLIM_LEAVES_OUT) and (path.is_symlink() or path.is_file()):
            _copy(path, tree)


def _debian_packages() -> tuple[set[str], set[str]]:
    form = "${Package}\t${Essential}\t${Priority}\t${Pre-Depends}, ${Depends}\n"
    try:
        listing = subprocess.run(["dpkg-query", "-W", "-f", form], capture_output=True, text=True, check=True).stdout
    except OSError as error:
        raise RuntimeError("the image's tree is made of Debian's packages: run this on Debian or Ubuntu") from error
    rows = {name: rest for name, *rest in (line.split("\t") for line in listing.splitlines())}
    wanted = {name for name, (essential, priority, _) in rows.items() if essential == "yes" or priority == "required"}
    wanted |= {"apt", "ca-certificates", "libstdc++6", "netbase", "tzdata"}
    found: set[str] = set()
    todo = list(wanted & set(rows))
    while todo:
        name = todo.pop()
        found.add(name)
        for choice in rows[name][2].split(","):
            names = [re.split(r"[\s:(]", option.strip())[0] for option in choice.split("|")]
            todo += [known for known in names if known in rows and known not in found][:1]
    return wanted, found


def _copy_python(tree: Path) -> None:
    """This Python where the image has its own: under /usr/local, with the libraries it needs."""
    stdlib = tree / "usr/local/lib" / VERSION
    ignored = shutil.ignore_patterns(*_PYTHON_LEAVES_OUT)
    shutil.copytree(sysconfig.get_path("stdlib"), stdlib, symlinks=True, ignore=ignored)
    binary = tree / "usr/local/bin" / VERSION
    binary.parent.mkdir(parents=True)
    shutil.copy2(Path(sys.executable).resolve(), binary)
    for name in ("python", "python3"):
        (binary.parent / name).symlink_to(VERSION)
    for library in _libraries([Path(sys.executable).resolve(), *stdlib.glob("lib-dynload/*.so")]):
        if library.name.startswith("libpython"):
            shutil.copy2(library, tree / "usr/local/lib")
        elif not (tree / library.relative_to("/")).exists():
            _copy(library, tree)


def _libraries(binaries: Iterable[Path]) -> set[Path]:
    listing = subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=True).stdout
    return {Path(path) for path in re.findall(r"=> (/\S+)", listing)}


def _copy_locked_packages(tree: Path) -> None:
    """The packages that `pip install -r requirements/run.txt` would put into the image's virtual environment."""
    for name in ("python", "python3", VERSION):
        (tree / _VENV / "bin").mkdir(parents=True, exist_ok=True)
        (tree / _VENV / "bin" / name).symlink_to("/usr/local/bin/" + VERSION)
    (tree / _VENV / "pyvenv.cfg").write_text("home = /usr/local/bin\ninclude-system-site-packages = false\n")
    for name, version in locked():
        package = distribution(name)
        if package.version != version:
            raise RuntimeError(f"{name} {package.version} is installed, {version} is locked: make setup")
        for file in package.files or ():
            # Outside of the packages lie programs, which nothing here starts, and what wheels bring as data.
            if ".." not in file.parts or "share" in file.parts:
                target = Path(os.path.normpath(tree / _PACKAGES / file))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file.locate(), target)


def locked() -> list[tuple[str, str]]:
    """Name and version of each locked package that Linux on x86-64 gets."""
    lines = (ROOT / "requirements/run.txt").read_text().splitlines()
    pins = [re.match(r"(\S+)==(\S+)(?: ; (.*?))? \\$", line) for line in lines]
    elsewhere = ("sys_platform == 'win32'", "platform_machine == 'arm64'")
    return [(pin[1], pin[2]) for pin in pins if pin and not (pin[3] or "").startswith(elsewhere)]


def _wheel(work: Path) -> Path:
    """Build the wheel from the files that the Dockerfile copies, with the commands that it runs."""
    source = work / "src"
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.M):
        *paths, target = line.split()
        for path in map(Path, paths):
            if (ROOT / path).is_dir():
                # As in Dockerfile.dockerignore: what is generated is generated anew.
                ignored = shutil.ignore_patterns("__pycache__", ".generated", "*.egg-info")
                shutil.copytree(ROOT / path, source / target, ignore=ignored, dirs_exist_ok=True)
            else:
                (source / target).mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, source / target)
    for generated in ("hardpoint", "buf"):
        shutil.rmtree(source / "libs" / generated, ignore_errors=True)
    run = re.search(r"^RUN (/tools/bin/python protos.*?wheel .*?) \\$", DOCKERFILE, re.M | re.S)
    command = run[1].replace("\\\n", "").replace("/tools/bin/", f"{Path(sys.executable).parent}/")
    command = command.replace("/wheels", str(work / "wheels"))
    built = subprocess.run(["bash", "-c", command], cwd=source, capture_output=True, text=True, timeout=300)
    if built.returncode:
        raise RuntimeError(f"the Dockerfile's build step failed: {command}\n{built.stdout}{built.stderr}")
    return next((work / "wheels").glob("hardpoint-*.whl"))


def _install_wheel(tree: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tree / _PACKAGES)
    compile_dir(tree / _PACKAGES, quiet=2, workers=2)
    script = tree / _VENV / "bin" / entrypoint()[0]
    script.write_text("#!/opt/hardpoint/bin/python\nfrom hardpointd.__main__ import main\nmain()\n")
    script.chmod(0o755)


def _copy(path: Path, tree: Path) -> None:
    """Copy a file of this machine to the same place, and with a link what it points to."""
    target = tree / path.parent.resolve().relative_to("/") / path.name
    if target.is_symlink() or target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        target.symlink_to(path.readlink())
        if path.resolve().is_file():
            _copy(path.resolve(), tree)
    else:
        shutil.copy2(path, target)
