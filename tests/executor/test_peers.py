"""What the executor makes of what other units say, before anything runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hardpoint.config.v1 import config_pb2, config_pb2_grpc
from hardpoint_executor.peers import ConfigLeases
from hardpoint_kit.auth import DevKeys, Verifier
from hardpoint_kit.errors import Internal, Unavailable
from hardpoint_kit.options import Options
from hardpoint_kit.rpc.client import channel
from hardpoint_kit.rpc.server import Server
from hardpoint_kit.unit import Unit


class LostKey(config_pb2_grpc.ConfigServiceServicer):
    """Config whose operator lost the key."""

    async def RedeemLease(self, request: Any, context: Any) -> Any:
        raise Internal("secret x does not open: the key changed", fix="load the key it was sealed with")


class Bytes(config_pb2_grpc.ConfigServiceServicer):
    """Config with a secret that is no text beside one that is."""

    async def RedeemLease(self, request: Any, context: Any) -> Any:
        return config_pb2.LeasedValues(secrets={"API_KEY": b"key", "SIGNING_KEY": b"\xff"})


@asynccontextmanager
async def leases(servicer: Any, folder: Path) -> AsyncIterator[ConfigLeases]:
    config = Unit("config", [(config_pb2_grpc.add_ConfigServiceServicer_to_server, servicer)])
    server = Server(Options(listen="127.0.0.1:0"), [config], Verifier(DevKeys(folder).jwks(), "hardpoint"))
    await server.start()
    try:
        async with channel(f"127.0.0.1:{server.port}") as opened:
            yield ConfigLeases(opened)
    finally:
        await server.stop(0)


async def test_a_secret_that_does_not_open_is_no_execution_that_was_lost(tmp_path: Path) -> None:
    async with leases(LostKey(), tmp_path) as config:
        with pytest.raises(Unavailable, match="secret x does not open") as refused:
            await config.redeem("ticket")
    assert refused.value.fix == "load the key it was sealed with"
    assert not refused.value.from_transport


async def test_a_secret_that_is_no_text_keeps_no_other_from_being_used(tmp_path: Path) -> None:
    async with leases(Bytes(), tmp_path) as config:
        values = await config.redeem("ticket")
    assert values.secrets == {"API_KEY": "key"}
    assert values.no_text == {"SIGNING_KEY"}
