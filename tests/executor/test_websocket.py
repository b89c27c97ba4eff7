"""WebSockets from inside a jail: the same in each language, and gone with the execution however it ends."""

from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from executor.brokers import Place
from executor.conftest import SECRET, Run
from executor.sockets import talking
from hardpoint_executor.domain import Finished, Limits, Outcome
from hardpoint_executor.jail import Jails
from hardpoint_manifest.authority import Authority

GRANTED = Authority.of(("network.websocket", "compute.heavy"), ("api.example.com",))
PYTHON = """
from hardpoint_sdk import BrokerError
ws = await self.websocket('wss://api.example.com/a', headers={'x-key': self.config['API_KEY']}, subprotocols=['v1'])
await ws.send({'token': self.config['API_KEY'], 'n': 1})
first = await ws.receive()
await ws.send('héllo')
second = await ws.receive(timeout=5)
await ws.send(b'\\x00\\xff')
third = list(await ws.receive())
try: await ws.receive(timeout=0.01)
except BrokerError as error: late = error.code
await ws.send('leave')
last = await ws.receive()
try: await ws.send('again')
except BrokerError as error: closed = error.code
await ws.close()
return [ws.subprotocol, first, second, third, late, last, ws.closed, closed]
"""
JAVASCRIPT = """
const options = { headers: { 'x-key': this.config.API_KEY }, subprotocols: ['v1'] };
const ws = await this.websocket('wss://api.example.com/a', options);
await ws.send({ token: this.config.API_KEY, n: 1 });
const first = await ws.receive();
await ws.send('héllo');
const second = await ws.receive({ timeout: 5 });
await ws.send(new Uint8Array([0, 255]));
const third = [...await ws.receive()];
const late = await ws.receive({ timeout: 0.01 }).catch((error) => error.code);
await ws.send('leave');
const last = await ws.receive();
const closed = await ws.send('again').catch((error) => error.code);
await ws.close();
return [ws.subprotocol, first, second, third, late, last, ws.closed, closed];
"""


async def answers(connection: ServerConnection, message: str | bytes) -> None:
    if message == "leave":
        await connection.close(4000, "left")
    else:
        await connection.send(message)


@pytest.mark.parametrize("engine", ["python", "node", "quickjs"])
async def test_each_language_talks(run: Run, jails: Jails, tier: str, engine: str) -> None:
    if engine == "quickjs" and tier != "slots":
        assert "quickjs" not in jails.engines("javascript", strict=True)
        return
    language, body = ("python", PYTHON) if engine == "python" else ("javascript", JAVASCRIPT)
    async with talking(answers, subprotocols=["v1"]) as talk:
        of = {"engine": engine} if language == "javascript" else {}
        events = await run(language, body, {"api.example.com": Place(talk.place)}, granted=GRANTED, **of)
    finished: Any = events[-1]
    assert finished.error is None, finished.error
    spaced = " " if engine == "python" else ""
    first = f'{{"token":{spaced}"[secret API_KEY]",{spaced}"n":{spaced}1}}'
    closed = {"code": 4000, "reason": "left"}
    late = "UPSTREAM_TIMEOUT"
    assert finished.output == ["v1", first, "héllo", [0, 255], late, None, closed, "WEBSOCKET_CLOSED"]
    assert finished.used == Authority.of(("network.websocket",), ("api.example.com",))
    assert (finished.usage.broker_calls, finished.usage.bytes_in > 200, finished.usage.bytes_out > 200) == (
        1,
        True,
        True,
    )
    assert SECRET in str(talk.heard[0])


@pytest.mark.parametrize(
    ("ends", "outcome"),
    [
        ("return 1", Outcome.OK),
        ("await ws.receive(timeout=60)", Outcome.TIMEOUT),
        ("import os; os._exit(1)", Outcome.PROTOCOL),
    ],
    ids=["returned", "late", "gone"],
)
async def test_what_is_left_open_ends_with_the_execution(run: Run, ends: str, outcome: Outcome) -> None:
    body = f"ws = await self.websocket('wss://api.example.com/')\n{ends}"
    async with talking() as talk:
        place = {"api.example.com": Place(talk.place)}
        events = await run("python", body, place, granted=GRANTED, limits=Limits(wall_seconds=1))
        assert isinstance(events[-1], Finished)
        assert events[-1].outcome is outcome
        await talk.ended.wait()
        assert len(talk.connections) == 1
