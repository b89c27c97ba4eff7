"""S35: hostile files are refused within a second, in little memory, with a reason and a line, and change nothing.

Every call has a deadline of one second, so an answer that comes later is another error than the one that is due.
"""

import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from demo.daemon import Process
from google.protobuf.struct_pb2 import Struct

from hardpoint.executor.v1 import executor_pb2
from hardpoint.registry.v1 import registry_pb2
from hardpoint_client import Hardpoint, Login
from hardpoint_client.client import CODE_SUFFIXES
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.errors import HardpointError

from .conftest import EXAMPLES, remove

BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % ((98 + i, 98 + i) + (97 + i,) * 9) for i in range(9)
)
FILES = {
    "yaml-bomb": (BOMB, "x.yaml"),
    "duplicate-keys": (b"capability:\n  id: a\n  id: b\n", "x.yaml"),
    "python-object": (b"capability: !!python/object/apply:os.system ['true']\n", "x.yaml"),
    "ten-megabytes": (b"capability:\n  id: a\n  description: " + b"x" * 10_000_000, "x.yaml"),
    "bad-utf8": (b"capability:\n  id: \xff\xfe\n", "x.yaml"),
    "deep": (b"[" * 100_000, "x.json"),
    "nan": (b'{"capability": {"id": NaN}}', "x.json"),
    "duplicate-json-keys": (b'{"capability": {"id": "a", "id": "b"}}', "x.json"),
    "empty": (b"", "x.yaml"),
    "zip": (b"PK\x03\x04" + b"\x00" * 200, "x.yaml"),
    "unknown-ending": (b"#!/bin/sh\n", "x.sh"),
    "code-with-bad-utf8": (b"export default {\xff}", "x.js"),
}
ANSWER_SECONDS = 1
CHUNK_BYTES = 64 * 1024
MEGABYTE = 1024 * 1024


async def push(client: Hardpoint, data: bytes, filename: str, header: Struct | None = None) -> None:
    """Make a draft as the client does, but send what the client would refuse to send, and wait a second at most."""
    if header is None and Path(filename).suffix in CODE_SUFFIXES:
        request = executor_pb2.ReadHeaderRequest(parent=client.org, filename=filename, source=data)
        header = (await client.executor.ReadHeader(request, timeout=ANSWER_SECONDS)).header
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"

    async def parts() -> AsyncIterator[registry_pb2.UploadArtifactRequest]:
        announced = registry_pb2.UploadArtifactRequest.Header(parent=client.org, digest=digest, size_bytes=len(data))
        yield registry_pb2.UploadArtifactRequest(header=announced)
        for start in range(0, len(data), CHUNK_BYTES):
            yield registry_pb2.UploadArtifactRequest(chunk=data[start : start + CHUNK_BYTES])

    await client.artifacts.UploadArtifact(parts(), timeout=ANSWER_SECONDS)
    release = registry_pb2.CreateReleaseRequest(parent=client.org, digest=digest, filename=filename, header=header)
    await client.registry.CreateRelease(release, timeout=ANSWER_SECONDS)


def assert_refused(error: HardpointError) -> None:
    assert error.code.name in {"INVALID_ARGUMENT", "OUT_OF_RANGE"}, error
    assert error.message
    assert error.fix or error.violations or error.place


@pytest.mark.parametrize("name", FILES)
async def test_refused_and_nothing_changed(client, name):
    with pytest.raises(HardpointError) as refused:
        await push(client, *FILES[name])
    assert_refused(refused.value)
    listed = await client.registry.ListCapabilities(registry_pb2.ListCapabilitiesRequest(parent=client.org))
    assert list(listed.capabilities) == []


@pytest.mark.parametrize("name", ["duplicate-keys", "python-object", "duplicate-json-keys", "nan"])
async def test_the_line_is_named(client, name):
    data, filename = FILES[name]
    with pytest.raises(HardpointError) as refused:
        await push(client, data, filename)
    assert refused.value.place.startswith(f"{filename}:")
    assert int(refused.value.place.split(":")[1]) >= 1


@pytest.fixture
async def registry(new_deployment):
    """A registry of the test's own: its peak of memory is of these files, and of no test before."""
    deployment = new_deployment("s35", False)
    deployment.units = ("registry",)
    await deployment.start()
    process = deployment.processes["registry"]
    token = DevKeys(deployment.state / "keys").mint("tester", "acme", ["builder"])
    async with Hardpoint(Login(process.address, token)) as client:
        yield process, client
    await deployment.stop()
    remove(deployment)


async def test_they_cost_little_memory(registry):
    """The whole process that takes the files is measured, from after a harmless one: what that loads stays loaded."""
    process, client = registry
    await push(client, (EXAMPLES / "weather-capability.yaml").read_bytes(), "weather-capability.yaml")
    before = memory(process, "VmRSS")
    for data, filename in FILES.values():
        with pytest.raises(HardpointError) as refused:
            await push(client, data, filename, Struct() if filename.endswith(".js") else None)
        assert_refused(refused.value)
    grown = memory(process, "VmHWM") - before
    assert grown < 100 * MEGABYTE


def memory(process: Process, line: str) -> int:
    """Bytes of memory that the kernel counts for a process."""
    status = Path(f"/proc/{process.running.pid}/status").read_text()
    return int(re.search(rf"^{line}:\s*(\d+) kB$", status, re.MULTILINE)[1]) * 1024
