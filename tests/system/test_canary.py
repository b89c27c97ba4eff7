"""M4: whatever an upstream makes of a secret, and whatever a plugin tries with that, no byte of it is found afterwards.

An upstream repeats the key that it is sent, in every encoding of `executor.spellings`; the plugin puts what comes back
into its log, its progress, its output and its errors. Then the databases, the logs, the spans, the metrics and all that
the caller was told are searched for the key, in every encoding.
"""

import asyncio
import json

import psycopg
import pytest
from opentelemetry.sdk.trace import TracerProvider

from executor.spellings import ENCODINGS
from hardpoint.runtime.v1 import run_pb2
from hardpoint_client import Agent
from hardpoint_executor.broker.scrub import Scrubber, Watched
from hardpointd.postgres import EmbeddedPostgres

from .conftest import System, add_file, eventually, http_capability

TRACER = TracerProvider().get_tracer("tests")
CANARY = "canary-5e1f0b7d42-sings-not"
NAMES = list(ENCODINGS)
GROUPS = [NAMES[at : at + 9] for at in range(0, len(NAMES), 9)]
PYTHON = """
import base64
from hardpoint_sdk import BrokerError, action, capability

@capability(id="singer", name="Singer", version="1.0.0", hosts=["upstream.test"],
            permissions=["network.http.get", "file.temporary", "compute.heavy"],
            config=[{"key": "API_KEY", "type": "secret", "required": True}])
class Singer:
    @action
    async def sing(self, input):
        heard = [self.config["API_KEY"]]
        for number in input["numbers"]:
            try:
                page = await self.fetch(f"{input['url']}?n={number}", headers={"x-key": self.config["API_KEY"]})
            except BrokerError as error:
                heard.append(str(error))
                continue
            heard += [page.text, base64.b64encode(page.body).decode(), repr(page.headers)]
            self.log(page.text)
            self.log(page.body.hex())
            print(page.text)
            self.progress(0.5, page.text)
        if input["fail"]:
            raise ValueError(" ".join(heard))
        return {"heard": heard, "joined": "".join(heard)}
"""
JAVASCRIPT = """
export default {
  id: 'singer', name: 'Singer', version: '1.0.0', hosts: ['upstream.test'],
  permissions: ['network.http.get', 'file.temporary', 'compute.heavy'],
  config: [{ key: 'API_KEY', type: 'secret', required: true }],
  actions: {
    async sing(input) {
      const heard = [this.config.API_KEY];
      for (const number of input.numbers) {
        try {
          const page = await this.fetch(`${input.url}?n=${number}`, { headers: { 'x-key': this.config.API_KEY } });
          const text = await page.text();
          heard.push(text, btoa(String.fromCharCode(...await page.bytes())), JSON.stringify([...page.headers]));
          this.log(text);
          console.log([...text].reverse().join(''));
          this.progress(0.5, text);
        } catch (error) {
          heard.push(String(error));
        }
      }
      if (input.fail) throw new Error(heard.join(' '));
      return { heard, joined: heard.join('') };
    },
  },
};
"""


@pytest.fixture(autouse=True)
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of these tests are traced, whether or not another test of this process left tracing switched off."""
    execute = Agent.execute

    async def executed(agent: Agent, *arguments, **named):
        with TRACER.start_as_current_span("canary"):
            return await execute(agent, *arguments, **named)

    monkeypatch.setattr(Agent, "execute", executed)


@pytest.mark.jail
@pytest.mark.parametrize("filename", ["singer.py", "singer.mjs"])
async def test_no_plugin_gets_it_out(system: System, client, agent, filename: str) -> None:
    heard = []

    def echo(asked):
        heard.append(asked.headers["x-key"])
        return 200, b"<" + ENCODINGS[NAMES[int(asked.query["n"])]](asked.headers["x-key"]) + b">"

    source = PYTHON if filename.endswith("py") else JAVASCRIPT
    await add_file(client, agent, source.encode(), filename, secrets={"API_KEY": CANARY})
    url = system.upstream.serve(echo)
    told, ended = [], []
    for group in GROUPS:
        for fail in (False, True):
            numbers = [NAMES.index(name) for name in group]
            response = await agent.execute("singer.sing", {"url": url, "numbers": numbers, "fail": fail})
            told.append(repr((response.data, response.error and vars(response.error), str(response.error))))
            told.append(str(await client.runs.GetRun(run_pb2.GetRunRequest(name=response.run))))
            ended.append(response.error.reason if response.error else "OK")
    assert heard == [CANARY] * 2 * len(NAMES)
    assert {"OK", "USER_ERROR"} <= set(ended) <= {"OK", "USER_ERROR", "OUTPUT_HOLDS_SECRET"}
    assert "secret://API_KEY#" in told[0], "what the plugin has is a reference"
    await assert_silent(system, told)


async def test_no_mapping_gets_it_out(system: System, client, agent, add) -> None:
    heard = []

    def echo(asked):
        heard.append(asked.headers["x-key"])
        spelled = ENCODINGS[NAMES[int(asked.query["n"])]](asked.headers["x-key"]).decode("latin-1")
        return (200, {"echo": spelled}) if asked.query["well"] == "1" else (500, {"echo": spelled})

    await add(
        http_capability(
            system.upstream.serve(echo),
            action={"inputs": [{"name": "n", "type": "integer"}, {"name": "well", "type": "integer"}]},
            integration={
                "headers": {"X-Key": "${API_KEY}"},
                "params": {"n": "${input.n}", "well": "${input.well}"},
                "error": "data.echo",
                "response_mapping": {"echo": "data.echo", "twice": "data.echo + data.echo"},
            },
            configuration=[{"key": "API_KEY", "type": "secret", "required": True}],
        ),
        secrets={"API_KEY": CANARY},
    )
    told = []
    for number in range(len(NAMES)):
        for well in (0, 1):
            response = await agent.execute("probe.get", {"n": number, "well": well})
            told.append(repr((response.data, response.error and vars(response.error), str(response.error))))
    assert len(heard) == 2 * len(NAMES)
    await assert_silent(system, told)


async def assert_silent(system: System, told: list[str]) -> None:
    """Nothing anywhere holds the canary in any encoding."""
    tables = await dump(system)
    assert any("singer" in row or "probe" in row for row in tables)
    spans = system.receiver.spans

    async def sent() -> bool:
        return any(span.name == "broker fetch" for span in spans)

    await eventually(sent)
    places = {
        "answers": told,
        "tables": tables,
        "log": system.deployment.log().splitlines(),
        "spans": [repr(span) for span in spans],
        "metrics": [str(metric) for metric in system.receiver.metrics[-200:]],
    }
    # On a thread: the receiver of the spans that still come is in this event loop.
    await asyncio.to_thread(search, places)


def search(places: dict[str, list[str]]) -> None:
    """Look for the canary as each encoding writes it, and in blocks as the executor would find it."""
    scrubber = Scrubber([Watched("API_KEY", CANARY)])
    for place, texts in places.items():
        whole = "\n".join(dict.fromkeys(texts))
        assert whole, place
        for name, encode in ENCODINGS.items():
            spelled = encode(CANARY)
            for text in {spelled.decode("latin-1"), json.dumps(spelled.decode("latin-1"))[1:-1], repr(spelled)[2:-1]}:
                assert text not in whole, (place, name)
        data = whole.encode(errors="replace")
        for at in range(0, len(data), 60_000):
            assert scrubber.found(data[at : at + 64_000]) is None, (place, data[at : at + 64_000])


async def dump(system: System) -> list[str]:
    """Every row of every table of every database, as text, by the superuser, whom no policy stops."""
    rows: list[str] = []
    async with EmbeddedPostgres(system.deployment.state) as server, await server.connect() as postgres:
        named = await postgres.execute("SELECT datname FROM pg_database WHERE datname LIKE 'hardpoint%'")
        for (database,) in await named.fetchall():
            async with await psycopg.AsyncConnection.connect(
                host="127.0.0.1",
                port=server.port,
                user="postgres",
                password=server.password("postgres"),
                dbname=database,
            ) as connection:
                tables = await connection.execute(
                    "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables "
                    "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
                )
                for (table,) in await tables.fetchall():
                    found = await connection.execute(f"SELECT t::text FROM {table} AS t")
                    rows += [row for (row,) in await found.fetchall()]
    return rows
