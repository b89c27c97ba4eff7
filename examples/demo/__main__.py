"""The main job, on real input: files become actions that a running agent calls, seconds later, without a restart.

Starts all units in one process with the embedded database, and three web servers on loopback that stand in for the
APIs of the examples. Everything it makes lies in one folder that the next run begins anew.
"""

import asyncio
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml
from opentelemetry import trace
from rich.console import Console
from rich.table import Table

from demo.daemon import Deployment
from demo.otlp import Receiver, Span, in_order
from demo.upstreams import exchange_rates, slack, upstream, weather
from hardpoint.registry.v1 import registry_pb2
from hardpoint.runtime.v1 import installation_pb2
from hardpoint_client import Agent, AgentResponse, Hardpoint, Login
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.errors import HardpointError, InvalidArgument
from hardpoint_kit.options import Options
from hardpoint_kit.state import default_state_folder
from hardpoint_kit.telemetry import setup, tracer
from hardpoint_manifest.check import check
from hardpoint_manifest.finding import apply_patch
from hardpoint_manifest.load import load

EXAMPLES = Path(__file__).parents[1]
ORG = "acme"
WEATHER_KEY = "demo-key-7f3a"
SLACK_KEY = "demo-token-1c9e"
CSV = "value\n1\n2\n3\n4\n100\n"
TRACE_SECONDS = 10.0

console = Console(highlight=False, soft_wrap=True)


class Demo:
    """One run of the demonstration against a deployment that is up."""

    def __init__(self, client: Hardpoint) -> None:
        self.client = client
        self.agent = Agent(client, "helper")

    async def run(self) -> str:
        """Do everything; the answer is the id of the last call's trace."""
        heading("An agent is running", "it has an action of its own, and nothing else")
        await self.agent.create("Helper")
        self.agent.register_action("greet", lambda name: f"Hello, {name}!")
        self.show("greet", await self.agent.execute("greet", {"name": "Ada"}))

        heading("weather-capability.yaml", "byte for byte as the design document has it")
        await self.add_capability("weather-capability.yaml", secrets={"API_KEY": WEATHER_KEY})
        await self.call("weather-lookup.get-weather", {"location": "New York"})

        heading("currency-converter.yaml", "it never says that it makes GET requests: refused, with the patch")
        await self.add_capability("currency-converter.yaml", data=await self.patched("currency-converter.yaml"))
        await self.call("currency-converter.convert", {"amount": 100, "from": "USD", "to": "EUR"})

        heading("slack-integration.json", "an API connector, byte for byte too; what Slack says no to is an error")
        await self.add_capability("slack-integration.json", secrets={"ACCESS_TOKEN": SLACK_KEY})
        await self.call("slack-integration.send-message", {"channel": "#general", "message": "Hello"})
        await self.call("slack-integration.send-message", {"channel": "#nowhere", "message": "Hello"})

        heading("custom-data-analyzer.js", "a stranger's JavaScript, in a fresh jail for every call")
        await self.add_capability("custom-data-analyzer.js")
        await self.call("data-analyzer.analyzeDataset", {"dataset": CSV, "analysisType": "statistical"})

        heading("custom_data_analyzer.py", "its twin in Python, with the same answers")
        await self.add_capability("custom_data_analyzer.py")
        await self.call("data-analyzer-python.analyzeDataset", {"dataset": CSV, "analysisType": "statistical"})

        heading("What a refusal says", "reason, place and fix, every time")
        await self.call("weather-lookup.get-weather", {"place": "New York"})
        await self.call("weather-lookup.get-wether", {"location": "New York"})
        await self.call("data-analyzer.analyzeDataset", {"dataset": CSV, "analysisType": "trends"})
        await self.agent.remove_capability("currency-converter")
        await self.call("currency-converter.convert", {"amount": 1, "from": "USD", "to": "EUR"})

        heading("One call, one trace", "from the agent to the upstream and back")
        with tracer.start_as_current_span("the agent's turn") as span:
            await self.call("weather-lookup.get-weather", {"location": "New York"})
            return trace.format_trace_id(span.get_span_context().trace_id)

    async def add_capability(
        self, filename: str, *, data: bytes | None = None, secrets: dict[str, str] | None = None
    ) -> None:
        """Upload, publish, install with what it asks, set its secrets, attach: from a file to callable actions."""
        started = time.monotonic()
        pushed = await self.client.push(data or (EXAMPLES / filename).read_bytes(), filename)
        release = await self.client.publish(pushed.release.name)
        if release.state != registry_pb2.RELEASE_STATE_PUBLISHED:
            raise SystemExit(f"{release.name} was rejected: {release.findings}")
        capability = release.name.partition("/releases/")[0]
        installation = await self.client.install(capability, grants=release.manifest.authority)
        installation_id = installation.name.rpartition("/")[2]
        for key, value in (secrets or {}).items():
            await self.client.set_secret(installation_id, key, value)
        await self.client.attach(self.agent.id, installation_id)
        said = f"  [green]✓[/] {release.name.removeprefix(f'orgs/{ORG}/capabilities/')} published, installed, attached"
        console.print(f"{said} [dim]({time.monotonic() - started:.2f} s)[/]")
        _say_authority(installation, secrets)

    async def patched(self, filename: str) -> bytes:
        """Push a file that the checks refuse, show why, and apply the patches that they suggest."""
        data = (EXAMPLES / filename).read_bytes()
        try:
            await self.client.push(data, filename)
        except InvalidArgument as error:
            show_error(error)
        document = load(data, filename)
        repaired = document.data
        for finding in check(document).findings:
            for operation in finding.patch:
                console.print(f"  [dim]patch[/] {operation.op} {operation.path} {json.dumps(operation.value)}")
            repaired = apply_patch(repaired, finding.patch)
        return yaml.safe_dump(repaired, allow_unicode=True, sort_keys=False).encode()

    async def call(self, action: str, params: dict[str, object]) -> None:
        """Call an action as the agent and show what it says."""
        self.show(f"{action} {json.dumps(params)}", await self.agent.execute(action, params))

    def show(self, asked: str, response: AgentResponse) -> None:
        """Show one answer, or one error."""
        console.print(f"  [cyan]›[/] {asked}")
        if response.error is None:
            console.print(f"    [bold]{json.dumps(response.data, ensure_ascii=False, sort_keys=True)}[/]")
        else:
            show_error(response.error, indent="    ")


def heading(title: str, text: str) -> None:
    """Begin a part."""
    console.print(f"\n[bold]{title}[/]  [dim]{text}[/]")


def show_error(error: HardpointError, indent: str = "  ") -> None:
    """Show an error as people should see it."""
    console.print(f"{indent}[red]✗ {error.reason}[/] {error.message}")
    if error.place:
        console.print(f"{indent}  [dim]at[/]  {error.place}")
    if error.fix:
        console.print(f"{indent}  [dim]fix[/] {error.fix}")


def show_trace(spans: Sequence[Span]) -> None:
    """Show the tree of one trace with times."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2))
    for title, justify in (("span", "left"), ("process", "left"), ("ms", "right")):
        table.add_column(title, justify=justify, style="dim" if title == "process" else "")  # type: ignore[arg-type]
    for depth, span in in_order(list(spans)):
        mark = "[red]✗[/] " if span.failed else ""
        table.add_row(f"{'  ' * depth}{mark}{span.name}", span.service, f"{span.milliseconds:.1f}")
    console.print(table)


def _say_authority(installation: installation_pb2.Installation, secrets: dict[str, str] | None) -> None:
    grants = ", ".join([*sorted(installation.grants.permissions), *sorted(installation.grants.hosts)])
    console.print(f"    [dim]granted: {grants}{'; secret: ' + ', '.join(secrets) if secrets else ''}[/]")


async def main() -> None:
    """Start what is needed, run, and stop it again."""
    began = time.monotonic()
    state = default_state_folder() / "demo"
    shutil.rmtree(state, ignore_errors=True)
    receiver = Receiver()
    await receiver.start()
    telemetry = setup("agent", Options(otlp_endpoint=receiver.endpoint, log_level="error"))
    with (
        upstream(weather(WEATHER_KEY)) as weather_api,
        upstream(exchange_rates) as exchange_api,
        upstream(slack(SLACK_KEY)) as slack_api,
    ):
        aliases = {
            "api.weather.com": weather_api.address,
            "api.exchangerate.host": exchange_api.address,
            "slack.com": slack_api.address,
        }
        deployment = Deployment(state, options={"otlp_endpoint": receiver.endpoint, "executor_host_aliases": aliases})
        console.print("[dim]starting five units in one process, with an embedded PostgreSQL ...[/]")
        try:
            await deployment.start()
            console.print(f"serving on {deployment.address} [dim]({time.monotonic() - began:.1f} s)[/]")
            for host, address in aliases.items():
                console.print(f"[dim]host alias: {host} is the server at {address}, which this demo started[/]")
            token = DevKeys(state / "keys").mint("demo", ORG, ["admin"])
            async with Hardpoint(Login(deployment.address, token)) as client:
                trace_id = await Demo(client).run()
            await asyncio.to_thread(telemetry.traces.force_flush)
            await _wait_for_trace(receiver, trace_id)
            show_trace(receiver.trace(trace_id))
            parent = weather_api.asked[-1].headers.get("traceparent", "")
            arrived = "the same trace" if trace_id in parent else "NOT this trace"
            console.print(f"  [dim]traceparent at the upstream: {parent} ({arrived})[/]")
        finally:
            await deployment.stop()
            await asyncio.to_thread(telemetry.shutdown)
            await receiver.stop()
    console.print(f"\n[green]done[/] in {time.monotonic() - began:.1f} s. Next: [bold]make up[/], then the README.")


async def _wait_for_trace(receiver: Receiver, trace_id: str) -> None:
    """Wait until the server's own end of the call has come: it sends its spans in batches, the outermost last."""
    async with asyncio.timeout(TRACE_SECONDS):
        while not receiver.has(trace_id, "hardpoint", "CallAction"):
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (HardpointError, RuntimeError) as error:
        console.print(f"[red]error[/]: {error}")
        sys.exit(1)
