"""The executor needs no privilege: the image's file tree, started by runc as a node would start the pod.

Security context, environment, volumes, limits and probes are read from `deploy/kubernetes/executor.yaml`. What is not
as on a node: no kubelet and no containerd, the tree of `image_tree.py`, this machine's kernel and cgroups, no AppArmor.
"""

import asyncio
import copy
import hashlib
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy import image_tree
from deploy.pod import FIRST_USER, Container, Network, Volumes, oci_config, pod_spec, runc
from deploy.profile_of import source as profile
from hardpoint.executor.v1 import executor_pb2, executor_pb2_grpc
from hardpoint.registry.v1 import registry_pb2, registry_pb2_grpc
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.documents import from_value
from hardpoint_kit.rpc.server import STOP_SECONDS
from hardpoint_kit.rpc.status import from_status
from jail.programs import javascript, python
from jail.siege import PROGRAMS, Program, wrapped

pytestmark = [pytest.mark.oci, pytest.mark.timeout(300)]
ORDINARY_CLONE = {
    "names": ["clone"],
    "action": profile.ALLOW,
    # None of the flags that make a namespace.
    "args": [{"index": 0, "value": 0x7E020080, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
}
NO_CLONE3 = {"names": ["clone3"], "action": profile.REFUSE, "errnoRet": profile.ENOSYS}
REFUSED = """
import ctypes, errno, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    return "open" if libc.syscall(number, *arguments) >= 0 else errno.errorcode[ctypes.get_errno()]
def family(number, kind):
    try:
        socket.socket(number, kind)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "open"
print({
    "unshare": call(272, 0x10000000), "setns": call(308, -1, 0), "keyctl": call(250, 0, -3, 0),
    "bpf": call(321, 0, 0, 0), "userfaultfd": call(323, 1), "perf": call(298, 0, 0, -1, -1, 0), "ptrace": call(101, 0),
    "personality": call(135, 0xFFFFFFFF), "io_uring": call(425, 1, 0), "chroot": call(161, b"/"),
    "kernel crypto": family(38, 5), "hypervisor": family(40, 1), "packets": family(17, 3),
})
"""


@dataclass
class Registry(registry_pb2_grpc.ArtifactServiceServicer):
    """The peer that the executor reads code from: whatever was told to it."""

    artifacts: dict[str, bytes]

    def keep(self, code: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(code).hexdigest()}"
        self.artifacts[digest] = code
        return digest

    async def ReadArtifact(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield registry_pb2.ReadArtifactResponse(chunk=self.artifacts[request.digest])


@dataclass
class Executor:
    """A running executor in its container, seen from the network."""

    spec: dict[str, Any]
    container: Container
    channel: grpc.aio.Channel
    registry: Registry
    keys: DevKeys

    async def health(self) -> int:
        """What the probes of the manifest would hear, once anything answers."""
        stub = health_pb2_grpc.HealthStub(self.channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=60, wait_for_ready=True)
        return answer.status

    def said(self, event: str) -> list[dict[str, Any]]:
        """The lines of the log about an event."""
        lines = [json.loads(line) for line in self.container.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    async def run(self, code: str, filename: str, action: str, input: Mapping[str, Any], **limits: float) -> Any:
        """Execute one action and return how it finished; a full queue is asked again."""
        digest = self.registry.keep(code.encode())
        request = executor_pb2.ExecuteRequest(
            org="orgs/acme",
            execution_id=digest[-32:],
            release="orgs/acme/capabilities/tested/releases/1.0.0",
            digest=digest,
            filename=filename,
            artifact_ticket="ticket",
            action={"id": action, "name": action},
            authority={"permissions": ["compute.heavy"]},
            limits=limits,
        )
        request.input.update(input)
        token = self.keys.mint("units/runtime", "hardpoint", ["service"])
        metadata = (("authorization", f"Bearer {token}"), ("hardpoint-org", "acme"))
        stub = executor_pb2_grpc.ExecutorServiceStub(self.channel)
        async with asyncio.timeout(120):
            while True:
                try:
                    events = [event async for event in stub.Execute(request, metadata=metadata, timeout=60)]
                    return events[-1].finished
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                        raise


def outcome(finished: Any) -> str:
    return executor_pb2.Outcome.Name(finished.outcome).removeprefix("OUTCOME_").lower()


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    """The file tree of the image."""
    runc()
    folder = enterable("hardpoint-image-")
    image_tree.assemble(folder / "tree", folder / "work")
    yield folder / "tree"
    shutil.rmtree(folder)


def enterable(prefix: str) -> Path:
    """A fresh folder that a user of a container may walk through."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o711)
    return folder


@asynccontextmanager
async def started(
    image: Path, keys: DevKeys, spec: dict[str, Any], seccomp: Any = None, most_user_namespaces: int | None = None
) -> AsyncIterator[Executor]:
    """The pod's container answering, with its peer beside it."""
    folder = enterable("hardpoint-pod-")
    network = Network()
    volumes = Volumes(folder, network, {"jwks": {"jwks.json": json.dumps(keys.jwks())}})
    registry = Registry({})
    server = grpc.aio.server()
    registry_pb2_grpc.add_ArtifactServiceServicer_to_server(registry, server)
    try:
        async with (
            Container(oci_config(spec, image, volumes, seccomp), folder, network, most_user_namespaces) as container,
            grpc.aio.insecure_channel(f"{network.inside}:7700") as channel,
        ):
            server.add_insecure_port(f"{network.outside}:7700")
            await server.start()
            executor = Executor(spec, container, channel, registry, keys)
            await executor.health()
            yield executor
    finally:
        await server.stop(None)
        shutil.rmtree(folder)


@pytest.fixture(scope="module", params=["hostUsers: true", "hostUsers: false"])
async def executor(image: Path, keys: DevKeys, request: pytest.FixtureRequest) -> AsyncIterator[Executor]:
    """The pod as it stands in the manifest, and with the line about users that is commented out there."""
    spec = pod_spec() | ({"hostUsers": False} if request.param == "hostUsers: false" else {})
    async with started(image, keys, spec) as executor:
        yield executor


async def test_it_serves_without_a_privilege(executor: Executor):
    """SERVING is what the self-test of both languages' jails says when their walls hold."""
    assert await executor.health() == health_pb2.HealthCheckResponse.SERVING, executor.container.log
    status = executor.container.status
    uid = image_tree.user() + (FIRST_USER if executor.spec.get("hostUsers") is False else 0)
    assert status("Uid").split() == [str(uid)] * 4
    assert {int(status(f"Cap{kind}"), 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
    assert (status("NoNewPrivs"), status("Seccomp")) == ("1", "2")
    assert [line["cgroups"] for line in executor.said("jails are started")] == ["none"]


@pytest.mark.parametrize("path", ["/", "/opt/hardpoint", "/etc/hardpoint", "/sys", "/proc/sys"])
async def test_it_cannot_write_to(executor: Executor, path: str):
    answer = await executor.container.execute("python", "-c", f"import os; print(os.statvfs({path!r}).f_flag & 1)")
    assert answer.strip() == "1"


async def test_what_no_line_of_the_profile_names_is_refused(executor: Executor):
    answers = eval(await executor.container.execute("python", "-c", REFUSED))
    assert {name: answer for name, answer in answers.items() if answer not in ("EPERM", "ENOSYS")} == {}


@pytest.mark.parametrize("call", [python("return input", None), javascript("return input;", None)], ids=["py", "js"])
async def test_code_is_executed(executor: Executor, call: Any):
    finished = await executor.run(call.source, call.filename, call.action, {"city": "Oslo"})
    assert (outcome(finished), from_value(finished.output)) == ("ok", {"city": "Oslo"})


async def test_a_forbidden_system_call_is_named(executor: Executor):
    """The container's filter, further out, leaves each of them to the one that tells it."""
    assert executor.said("forbidden system calls that kill and cannot be named") == []
    for name, number in (("ptrace", 101), ("unshare", 272), ("mount", 165)):
        call = python(f"import ctypes; ctypes.CDLL(None).syscall({number}, 0, 0, 0, 0, 0)")
        finished = await executor.run(call.source, call.filename, call.action, {})
        assert outcome(finished) == "violation"
        assert from_status(finished.error).metadata["syscall"] == name


async def test_hostile_programs_are_contained(executor: Executor):
    """The corpus. Its canary is the container's own: the key set it was given, the port it serves on."""
    turns = asyncio.Semaphore(4)
    programs = [program for program in PROGRAMS if not program.only_loaded and not program.asks_the_siege]

    async def attack(program: Program) -> tuple[str, str, str] | None:
        text = wrapped(program).replace("CANARY_FILE", "/etc/hardpoint/jwks.json").replace("CANARY_PORT", "7700")
        tier = "slots" if program.language == "python" else "single-use"
        seconds = 1.5 if program.waits(tier) else 20.0
        async with turns:
            finished = await executor.run(text, program.path.name, "attack", {}, wall_seconds=seconds)
        value = from_value(finished.output) if finished.HasField("output") else None
        denied = isinstance(value, dict) and value.get("denied") is True
        kinds = {outcome(finished), "ok_denied" if denied else outcome(finished)}
        fine = kinds & program.expected(tier) and '"keys"' not in repr(value)
        return None if fine else (program.name, outcome(finished), str(finished)[:300])

    wrong = [each for each in await asyncio.gather(*map(attack, programs)) if each]
    assert not wrong, "\n".join(map(str, wrong))
    assert len(programs) > 200
    await test_code_is_executed(executor, python("return input", None))
    assert await executor.health() == health_pb2.HealthCheckResponse.SERVING


def without(*names: str) -> dict[str, Any]:
    """The container's profile without these calls."""
    left = copy.deepcopy(profile.profile())
    for rule in left["syscalls"]:
        rule["names"] = [name for name in rule["names"] if name not in names]
    left["syscalls"] = [rule for rule in left["syscalls"] if rule["names"]]
    return left


def like_a_runtimes_default() -> dict[str, Any]:
    """Everything but what makes a jail: threads yes, namespaces no, and the newer clone as if the kernel lacked it."""
    left = profile.profile(profile.ORDINARY)
    left["syscalls"] += [ORDINARY_CLONE, NO_CLONE3]
    return left


NEEDED = [name for rule in profile.JAILS for name in rule.names.split() if name not in ("clone", "clone3")]
INSUFFICIENT = {"like a runtime's default": like_a_runtimes_default()} | {name: without(name) for name in NEEDED}


async def runs_nothing(executor: Executor, because: str) -> None:
    """It is not ready, refuses code of either language, and its log says why and where to read on."""
    assert await executor.health() == health_pb2.HealthCheckResponse.NOT_SERVING
    for call in (python("return input", None), javascript("return input;", None)):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await executor.run(call.source, call.filename, call.action, {})
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    (reasons,) = [line["reasons"] for line in executor.said("readiness changed")]
    assert len(reasons) >= 2
    for reason in reasons:
        assert because in reason
        assert "deploy/README.md" in reason


@pytest.mark.parametrize("seccomp", INSUFFICIENT.values(), ids=INSUFFICIENT)
async def test_with_less_it_says_why_and_runs_nothing(image: Path, keys: DevKeys, seccomp: dict[str, Any]):
    async with started(image, keys, pod_spec(), seccomp) as executor:
        await runs_nothing(executor, "Operation not permitted")


async def test_where_the_system_allows_no_user_namespaces(image: Path, keys: DevKeys):
    """As on nodes that set user.max_user_namespaces to 0; here it is the limit of the container's own namespace."""
    spec = pod_spec() | {"hostUsers": False}
    async with started(image, keys, spec, most_user_namespaces=0) as executor:
        await runs_nothing(executor, "No space left on device")


async def test_it_ends_when_it_is_told_to(image: Path, keys: DevKeys):
    async with started(image, keys, pod_spec()) as executor:
        await executor.container.kill("TERM")
        await executor.container.ended(3 * STOP_SECONDS)
