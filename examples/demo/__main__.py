"""The main job, on real input: files become actions that a running agent calls, seconds later, without a restart.

Starts all units in one process with the embedded database, and servers on loopback that stand in for the APIs of the
examples and for what an organisation has of its own. All of it is stopped at the end, however that comes. Everything it
makes lies in one folder that the next run begins anew.
"""

import asyncio
import json
import shutil
import signal
import sys
import time
from contextlib import AsyncExitStack

from opentelemetry import trace

from demo.adding import add_capability, patched
from demo.daemon import UNITS, Deployment
from demo.invoice import show_invoice
from demo.office import office
from demo.otlp import Receiver
from demo.screen import console, heading, show_error, show_trace
from demo.upstreams import exchange_rates, slack, upstream, weather
from demo.waiting import eventually
from hardpoint_client import Agent, AgentResponse, Hardpoint, Login
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.errors import HardpointError
from hardpoint_kit.options import Options
from hardpoint_kit.state import default_state_folder
from hardpoint_kit.telemetry import Telemetry, setup, tracer

ORG = "acme"
WEATHER_KEY = "demo-key-7f3a"
SLACK_KEY = "demo-token-1c9e"
CSV = "value\n1\n2\n3\n4\n100\n"


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
        await add_capability(self.client, self.agent, "weather-capability.yaml", secrets={"API_KEY": WEATHER_KEY})
        await self.call("weather-lookup.get-weather", {"location": "New York"})

        heading("currency-converter.yaml", "it never says that it makes GET requests: refused, with the patch")
        repaired = await patched(self.client, "currency-converter.yaml")
        await add_capability(self.client, self.agent, "currency-converter.yaml", data=repaired)
        await self.call("currency-converter.convert", {"amount": 100, "from": "USD", "to": "EUR"})

        heading("slack-integration.json", "an API connector, byte for byte too; what Slack says no to is an error")
        await add_capability(self.client, self.agent, "slack-integration.json", secrets={"ACCESS_TOKEN": SLACK_KEY})
        await self.call("slack-integration.send-message", {"channel": "#general", "message": "Hello"})
        await self.call("slack-integration.send-message", {"channel": "#nowhere", "message": "Hello"})

        heading("custom-data-analyzer.js", "a stranger's JavaScript, in a fresh jail for every call")
        await add_capability(self.client, self.agent, "custom-data-analyzer.js")
        await self.call("data-analyzer.analyzeDataset", {"dataset": CSV, "analysisType": "statistical"})

        heading("custom_data_analyzer.py", "its twin in Python, with the same answers")
        await add_capability(self.client, self.agent, "custom_data_analyzer.py")
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


async def main() -> None:
    """Start what is needed, run, and stop it again."""
    began = time.monotonic()
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, _cancel, asyncio.current_task())
    state = default_state_folder() / "demo"
    shutil.rmtree(state, ignore_errors=True)
    console.print(f"[dim]starting {len(UNITS)} units in one process, with an embedded PostgreSQL ...[/]")
    async with AsyncExitStack() as started:
        # First and last, since it starts processes: gRPC complains of a fork while it is in use.
        acme = await started.enter_async_context(office(state))
        receiver = Receiver()
        await receiver.start()
        started.push_async_callback(receiver.stop)
        telemetry = setup("agent", Options(otlp_endpoint=receiver.endpoint, log_level="error"))
        started.push_async_callback(asyncio.to_thread, telemetry.shutdown)
        weather_api = started.enter_context(upstream(weather(WEATHER_KEY)))
        aliases = {
            "api.weather.com": weather_api.address,
            "api.exchangerate.host": started.enter_context(upstream(exchange_rates)).address,
            "slack.com": started.enter_context(upstream(slack(SLACK_KEY))).address,
            **acme.aliases,
        }
        deployment = Deployment(state, options={"otlp_endpoint": receiver.endpoint, "executor_host_aliases": aliases})
        started.push_async_callback(deployment.stop)
        await deployment.start()
        console.print(f"serving on {deployment.address} [dim]({time.monotonic() - began:.1f} s)[/]")
        console.print("[dim]nothing here leaves this machine; these hosts are servers that this demo started:[/]")
        for host, address in aliases.items():
            console.print(f"[dim]  {host:<22} {address}[/]")
        token = DevKeys(state / "keys").mint("demo", ORG, ["admin"])
        async with Hardpoint(Login(deployment.address, token)) as client:
            demo = Demo(client)
            trace_id = await demo.run()
            await _show_trace(receiver, telemetry, trace_id, weather_api.asked[-1].headers.get("traceparent", ""))
            await show_invoice(client, demo.agent, deployment, acme)
    console.print(f"\n[green]done[/] in {time.monotonic() - began:.1f} s. Next: [bold]make up[/], then the README.")


async def _show_trace(receiver: Receiver, telemetry: Telemetry, trace_id: str, arrived: str) -> None:
    """Show a trace once the server's own end of the call has come: it sends spans in batches, the outermost last."""
    await asyncio.to_thread(telemetry.traces.force_flush)

    async def came() -> bool:
        return receiver.has(trace_id, "hardpoint", "CallAction")

    await eventually("the trace", came)
    show_trace(receiver.trace(trace_id))
    same = "the same trace" if trace_id in arrived else "NOT this trace"
    console.print(f"  [dim]traceparent at the upstream: {arrived} ({same})[/]")


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (HardpointError, RuntimeError) as error:
        console.print(f"[red]error[/]: {error}")
        sys.exit(1)
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("\nstopped, with everything that was started")
        sys.exit(130)
