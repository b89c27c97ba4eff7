"""The unit as the daemon builds it: it starts and serves although no peer can be reached."""

from pathlib import Path

import pytest

from hardpoint.runtime.v1 import agent_pb2
from hardpoint_kit.auth import DevKeys, Verifier
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.errors import Unavailable
from hardpoint_kit.platform import Platform
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.rpc.server import Server
from hardpoint_runtime.server import Options, build
from runtime.conftest import Dial


async def test_the_runtime_serves_without_its_peers(url: str, keys: DevKeys, tmp_path: Path, dial: Dial) -> None:
    options = Options(listen="127.0.0.1:0", runtime_database_url=url)
    async with channel("127.0.0.1:1") as nowhere:
        unit = build(options, Platform(SystemClock(), lambda peer: nowhere, tmp_path))
        assert unit.name == "runtime"
        server = Server(options, [unit], Verifier(keys.jwks(), issuer="hardpoint"))
        await server.start()
        try:
            client = dial(server)
            assert (await client.create_agent()).state == agent_pb2.AGENT_STATE_ACTIVE
            assert await client.tools() == []
            with pytest.raises(Unavailable):
                await client.install()
            assert await unit.ready() == []
        finally:
            await server.stop(0)
