"""S35: hostile files are refused within a second, with a reason and a line, and change nothing."""

import pytest

from hardpoint.registry.v1 import registry_pb2
from hardpoint_kit.errors import HardpointError

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


@pytest.mark.parametrize("name", FILES)
async def test_refused_and_nothing_changed(client, name):
    data, filename = FILES[name]
    with pytest.raises(HardpointError) as refused:
        await client.push(data, filename)
    error = refused.value
    assert error.code.name in {"INVALID_ARGUMENT", "OUT_OF_RANGE"}
    assert error.message
    assert error.fix or error.violations or error.place
    listed = await client.registry.ListCapabilities(registry_pb2.ListCapabilitiesRequest(parent=client.org))
    assert list(listed.capabilities) == []


@pytest.mark.parametrize("name", ["duplicate-keys", "python-object", "duplicate-json-keys", "nan"])
async def test_the_line_is_named(client, name):
    data, filename = FILES[name]
    with pytest.raises(HardpointError) as refused:
        await client.push(data, filename)
    assert refused.value.place.startswith(f"{filename}:")
    assert int(refused.value.place.split(":")[1]) >= 1
