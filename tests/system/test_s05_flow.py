"""S05: a flow gives the same as text and as it is drawn, and each of its nodes can be tried alone."""

import asyncio
import copy
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hardpoint.runtime.v1 import run_pb2
from hardpoint_client.client import output_of

from .conftest import EXAMPLES, System, add_file

KEY = "system-crm-key-77f1"
ANN = {"customer": {"name": "Ann", "plan": "pro"}}
FORMATTED = {"name": "Ann", "summary": "Ann is on the pro plan"}
EMAIL = {"email": "ann@example.com"}


def customer_lookup(url: str) -> dict[str, Any]:
    """The example, with the test's own upstream in place of its API."""
    document = yaml.safe_load((EXAMPLES / "customer-lookup.yaml").read_text())
    document["capability"]["flow"]["nodes"][1]["integration"]["endpoint"] = url
    return document


def as_drawn(document: dict[str, Any]) -> bytes:
    """What the canvas writes: JSON, every node somewhere else, and in the order in which they were drawn last."""
    drawn = copy.deepcopy(document)
    drawn["capability"]["version"] = "1.0.1"
    nodes = drawn["capability"]["flow"]["nodes"]
    for at, node in enumerate(nodes):
        node["position"] = {"x": 31.5 * at, "y": -7}
    nodes.reverse()
    return json.dumps(drawn).encode()


async def test_text_and_drawing_give_the_same(system: System, client, agent) -> None:
    url = system.upstream.serve((200, ANN))
    document = customer_lookup(url)
    text = yaml.safe_dump(document).encode()
    await add_file(client, agent, text, "customer-lookup.yaml", secrets={"CRM_KEY": KEY})
    called = await agent.execute("customer-lookup.run", EMAIL)
    assert called.error is None, called.error
    assert called.data == FORMATTED
    (asked,) = system.upstream.asked(url)
    assert (asked.query, asked.headers["authorization"]) == (EMAIL, f"Bearer {KEY}")
    (step,) = (await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=called.run))).steps
    assert (step.path, step.state) == ("lookup", run_pb2.RUN_STATE_SUCCEEDED)

    draft = (await client.push(as_drawn(document), "customer-lookup.json")).release.name
    tested = await client.test(draft, "run", EMAIL, settings="customer-lookup")
    assert output_of(tested) == FORMATTED
    assert len(system.upstream.asked(url)) == 2


@pytest.mark.jail
async def test_a_node_alone_has_pinned_input(system: System, client, org: str, tmp_path: Path) -> None:
    url = system.upstream.serve((200, ANN))
    document = customer_lookup(url)
    file, pinned = tmp_path / "customer-lookup.yaml", tmp_path / "steps.json"
    file.write_text(yaml.safe_dump(document))
    pinned.write_text(json.dumps({"lookup": {"name": "Bob", "plan": "free"}}))
    await client.set_secret("crm", "CRM_KEY", KEY)
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("hardpoint"),
        *("test", str(file), "--step", "format", "--with", str(pinned), "--settings", "crm", "--json"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **system.cli_environment(org)},
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said
    assert json.loads(said)["output"] == {"name": "Bob", "summary": "Bob is on the free plan"}
    assert system.upstream.asked(url) == []

    draft = (await client.push(file.read_bytes(), file.name)).release.name
    one = await client.test(draft, "run", EMAIL, settings="crm", step="lookup")
    assert output_of(one) == {"name": "Ann", "plan": "pro"}
    assert len(system.upstream.asked(url)) == 1
