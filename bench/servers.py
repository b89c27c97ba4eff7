"""What the figures are compared with: a bare gRPC echo and a web API on loopback, in a process of their own."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import grpc
import grpc.aio
import uvloop

ECHO = "/bench.Echo/Echo"
START_SECONDS = 20.0
_ANSWER = json.dumps({"temp": 72, "weather": [{"main": "Sunny"}], "main": {"humidity": 45}}).encode()
_HTTP = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(_ANSWER), _ANSWER)


@dataclass(frozen=True, slots=True)
class Servers:
    """Where they listen, as host:port, and the id of their process."""

    echo: str
    upstream: str
    process: int


@asynccontextmanager
async def servers() -> AsyncIterator[Servers]:
    """Serve both in a process that ends with this block, and with this process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            said = json.loads(await process.stdout.readline())
        yield Servers(**said, process=process.pid)
    finally:
        process.stdin.close()
        await process.wait()


class _Echo(grpc.GenericRpcHandler):
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        del handler_call_details
        return grpc.unary_unary_rpc_method_handler(_echo)


async def _echo(request: bytes, _context: object) -> bytes:
    return request


class _WebApi(asyncio.Protocol):
    """Answers every request that has no body with the same document, and keeps the connection."""

    def __init__(self) -> None:
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        *requests, self._unread = (self._unread + data).split(b"\r\n\r\n")
        self._transport.write(_HTTP * len(requests))


async def _serve() -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Echo(),))
    echo = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    web = await asyncio.get_running_loop().create_server(_WebApi, "127.0.0.1", 0)
    upstream = web.sockets[0].getsockname()[1]
    print(json.dumps({"echo": f"127.0.0.1:{echo}", "upstream": f"127.0.0.1:{upstream}"}), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(_serve())
