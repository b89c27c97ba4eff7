"""Owns what a node does with a pod: the manifest in, the configuration of an OCI container out, and `runc` around it.

What it does not know it refuses, so that no field of the manifest is passed over and nothing is granted in silence.
"""

import asyncio
import json
import os
import re
import secrets
import shutil
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Self

import yaml

from deploy import image_tree
from hardpointd.catalog import PEERS

ROOT = Path(__file__).parents[2]
MANIFEST = list(yaml.safe_load_all((ROOT / "deploy/kubernetes/executor.yaml").read_text()))
SECCOMP = ROOT / "deploy/seccomp"
FIRST_USER = 1 << 20
"""Of the node's users, those that a pod with `hostUsers: false` is given begin here."""
_UNITS = {"Mi": 1 << 20, "Gi": 1 << 30}

# Of Kubernetes' nodes: what containerd masks and mounts for every pod that does not ask for `procMount: Unmasked`.
_MASKED = (
    *(f"/proc/{name}" for name in ("acpi", "asound", "kcore", "keys", "latency_stats", "timer_list", "timer_stats")),
    *("/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"),
)
_READ_ONLY = tuple(f"/proc/{name}" for name in ("bus", "fs", "irq", "sys", "sysrq-trigger"))
_QUIET = ["nosuid", "noexec", "nodev"]


def of_kind(kind: str) -> dict[str, Any]:
    """The one object of this kind in the manifest."""
    (found,) = [document for document in MANIFEST if document["kind"] == kind]
    return found


def pod_spec() -> dict[str, Any]:
    """The pod of the Deployment."""
    return of_kind("Deployment")["spec"]["template"]["spec"]


def known(given: dict[str, Any], *names: str) -> dict[str, Any]:
    """The mapping itself, which has no field but these."""
    assert set(given) <= set(names), f"not known here: {sorted(set(given) - set(names))}"
    return given


def bytes_of(quantity: str) -> int:
    return int(quantity[:-2]) * _UNITS[quantity[-2:]]


def container_of(spec: dict[str, Any]) -> dict[str, Any]:
    """The only container of a pod."""
    known(
        spec,
        *("automountServiceAccountToken", "enableServiceLinks", "hostUsers", "terminationGracePeriodSeconds"),
        *("securityContext", "containers", "volumes"),
    )
    (container,) = spec["containers"]
    return known(
        container,
        *("name", "image", "args", "securityContext", "env", "ports", "startupProbe", "readinessProbe", "resources"),
        *("volumeMounts",),
    )


class Network:
    """This machine's and a container's end of a network between them, of the range for tests of networks."""

    def __init__(self) -> None:
        first = IPv4Address("198.18.0.0") + 4 * secrets.randbelow(1 << 15)
        self.outside, self.inside = str(first + 1), str(first + 2)


class Volumes:
    """The folders behind a pod's volumes, on this machine."""

    def __init__(self, folder: Path, network: Network, config_maps: dict[str, dict[str, str]]) -> None:
        self._folder = folder
        self._network = network
        self._config_maps = config_maps

    def mount(self, volume: dict[str, Any], mounted: dict[str, Any]) -> dict[str, Any]:
        """The mount of a volume, as the kubelet prepares it."""
        known(mounted, "name", "mountPath", "readOnly")
        mode = "ro" if mounted.get("readOnly") else "rw"
        match known(volume, "name", "emptyDir", "configMap"):
            case {"emptyDir": {"medium": "Memory", "sizeLimit": size}}:
                options = ["mode=0777", f"size={bytes_of(size)}", mode]
                return {"destination": mounted["mountPath"], "type": "tmpfs", "source": "tmpfs", "options": options}
            case {"emptyDir": {"sizeLimit": _, **others}} if not others:
                source = self._made(volume["name"], 0o777)
            case {"configMap": {"name": name, **others}} if not others:
                source = self._made(volume["name"], 0o755)
                for file, text in self._config_maps[name].items():
                    (source / file).write_text(text)
        options = ["rbind", "rprivate", mode]
        return {"destination": mounted["mountPath"], "type": "bind", "source": str(source), "options": options}

    def hosts(self) -> dict[str, Any]:
        """The file of names that the kubelet mounts, in which the executor's peers are at this machine's end."""
        file = self._folder / "hosts"
        file.write_text(f"127.0.0.1 localhost\n{self._network.outside} {' '.join(PEERS['executor'])}\n")
        return {"destination": "/etc/hosts", "type": "bind", "source": str(file), "options": ["rbind", "rprivate"]}

    def _made(self, name: str, mode: int) -> Path:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        folder.chmod(mode)
        return folder


def seccomp_of(profile: dict[str, str]) -> dict[str, Any]:
    """The profile of a container; `Localhost` ones lie under `hardpoint/` on a node, and in `deploy/seccomp` here."""
    known(profile, "type", "localhostProfile")
    assert profile["type"] == "Localhost"
    folder, name = profile["localhostProfile"].split("/")
    assert folder == "hardpoint"
    return json.loads((SECCOMP / name).read_text())


def oci_config(
    spec: dict[str, Any], rootfs: Path, volumes: Volumes, seccomp: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The configuration that a node would hand to runc; `seccomp` stands in for the profile that the pod names."""
    container = container_of(spec)
    security = {**spec["securityContext"], **container["securityContext"]}
    known(
        security,
        *("runAsNonRoot", "runAsUser", "runAsGroup", "allowPrivilegeEscalation", "readOnlyRootFilesystem"),
        *("capabilities", "seccompProfile"),
    )
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert not (security["runAsNonRoot"] and security["runAsUser"] == 0)
    given = {name["name"]: known(name, "name", "value")["value"] for name in container["env"]}
    environment = image_tree.environment() | {"HOSTNAME": "executor"} | given
    limits = known(container["resources"]["limits"], "cpu", "memory")
    named = {volume["name"]: volume for volume in spec["volumes"]}
    inside = spec.get("hostUsers", True) is False
    spaces = ["pid", "network", "ipc", "uts", "mount", *(["user"] if inside else [])]
    users = {"containerID": 0, "hostID": FIRST_USER, "size": 65536}
    empty: list[str] = []
    return {
        "ociVersion": "1.0.2",
        "hostname": "executor",
        "root": {"path": str(rootfs), "readonly": security["readOnlyRootFilesystem"]},
        "process": {
            "user": {"uid": security["runAsUser"], "gid": security["runAsGroup"]},
            "args": [*image_tree.entrypoint(), *container["args"]],
            "env": [f"{name}={value}" for name, value in environment.items()],
            "cwd": "/",
            "noNewPrivileges": not security["allowPrivilegeEscalation"],
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), empty),
        },
        "mounts": [
            *_system_mounts(),
            volumes.hosts(),
            *(volumes.mount(named[mounted["name"]], mounted) for mounted in container["volumeMounts"]),
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in spaces],
            **({"uidMappings": [users], "gidMappings": [users]} if inside else {}),
            "resources": {
                "memory": {"limit": bytes_of(limits["memory"])},
                "cpu": {"period": 100_000, "quota": int(limits["cpu"]) * 100_000},
                "pids": {"limit": 1024},
                "devices": [{"allow": False, "access": "rwm"}],
            },
            "seccomp": seccomp or seccomp_of(security["seccompProfile"]),
            "maskedPaths": list(_MASKED),
            "readonlyPaths": list(_READ_ONLY),
        },
    }


def _system_mounts() -> list[dict[str, Any]]:
    def mount(destination: str, kind: str, *options: str) -> dict[str, Any]:
        return {"destination": destination, "type": kind, "source": kind, "options": list(options)}

    return [
        mount("/proc", "proc", *_QUIET),
        mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        mount("/dev/shm", "tmpfs", *_QUIET, "mode=1777", "size=65536k"),
        mount("/dev/mqueue", "mqueue", *_QUIET),
        mount("/sys", "sysfs", *_QUIET, "ro"),
        mount("/sys/fs/cgroup", "cgroup", *_QUIET, "relatime", "ro"),
    ]


class Container:
    """A container with a network of its own that this machine's end reaches, from `async with` until its end.

    It is started as a node starts one: made by runc, given its network, and only then run.
    """

    def __init__(
        self, config: dict[str, Any], folder: Path, network: Network, most_user_namespaces: int | None = None
    ) -> None:
        self._network = network
        self._most_user_namespaces = most_user_namespaces
        self.name = f"hardpoint-{secrets.token_hex(3)}"
        self._bundle = folder / self.name
        self._config = config
        self._printed = folder / f"{self.name}.log"
        self._pid = 0
        self._init = -1

    async def __aenter__(self) -> Self:
        self._bundle.mkdir()
        (self._bundle / "config.json").write_text(json.dumps(self._config, indent=1))
        try:
            with self._printed.open("wb") as printed:
                made = ["create", "--no-new-keyring", "--pid-file", str(self._bundle / "pid"), "--bundle"]
                await run(runc(), *made, str(self._bundle), self.name, output=printed.fileno())
            self._pid = int((self._bundle / "pid").read_text())
            self._init = os.pidfd_open(self._pid)
            await self._connect()
            if self._most_user_namespaces is not None:
                limit = f"echo {self._most_user_namespaces} >/proc/sys/user/max_user_namespaces"
                await run("nsenter", f"--user=/proc/{self._pid}/ns/user", "sh", "-c", limit)
            await run(runc(), "start", self.name)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await run(runc(), "delete", "--force", self.name)
        if self._init >= 0:
            await self.ended()
            os.close(self._init)
        shutil.rmtree(self._bundle)

    async def _connect(self) -> None:
        """Join this machine and the container by a pair of devices; with the container both are gone."""
        ours, theirs, inside = (
            f"{self.name[-6:]}-o",
            f"{self.name[-6:]}-i",
            ["nsenter", f"--net=/proc/{self._pid}/ns/net"],
        )
        await run("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", str(self._pid))
        await run("ip", "address", "add", f"{self._network.outside}/30", "dev", ours)
        await run("ip", "link", "set", ours, "up")
        await run(*inside, "ip", "address", "add", f"{self._network.inside}/30", "dev", theirs)
        await run(*inside, "ip", "link", "set", theirs, "up")

    @property
    def log(self) -> str:
        """What the container has printed."""
        return self._printed.read_text(errors="replace")

    async def execute(self, *command: str) -> str:
        """Run a program in the container, as the kubelet's `exec` does, and return what it printed."""
        return await run(runc(), "exec", self.name, *command)

    async def kill(self, signal: str) -> None:
        """Send a signal to the container's first process."""
        await run(runc(), "kill", self.name, signal)

    async def ended(self, seconds: float = 30.0) -> None:
        """Wait until the container's first process has ended. Raises TimeoutError."""
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._init, over.set)
        try:
            await asyncio.wait_for(over.wait(), seconds)
        finally:
            loop.remove_reader(self._init)

    def status(self, line: str) -> str:
        """One line of the first process's /proc/PID/status."""
        text = Path(f"/proc/{self._pid}/status").read_text()
        return re.search(rf"^{line}:\s*(.*)$", text, re.MULTILINE)[1]


async def run(*command: str, output: int = asyncio.subprocess.PIPE) -> str:
    """Run a program and return what it printed. Raises RuntimeError with its words when it fails."""
    stdin = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdin=stdin, stdout=output, stderr=output)
    said, complained = await asyncio.wait_for(process.communicate(), 60)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: {(complained or b'').decode()}")
    return (said or b"").decode()


def runc() -> str:
    """The path of runc. Raises RuntimeError where no container can be started: a proof that did not run is none."""
    missing = [name for name in ("runc", "ip", "nsenter") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        raise RuntimeError(f"a container needs root and apt-get install runc iproute2 util-linux; missing: {missing}")
    return str(shutil.which("runc"))
