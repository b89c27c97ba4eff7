"""Examples of workflows at publication: walked by the registry, within bounds, and nobody else is asked."""

import json
from pathlib import Path
from typing import Any

import pytest

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.registry.v1 import registry_pb2 as pb
from hardpoint_kit.errors import InvalidArgument
from hardpoint_registry.checks import check_publication
from registry.client import Client

FILE = Path(__file__).parents[2] / "examples/purchase-order.yaml"
NAME = "orgs/acme/capabilities/purchase-order/releases/1.0.0"


async def test_a_workflow_whose_examples_hold_is_published(builder: Client) -> None:
    await builder.create(FILE.read_bytes(), "purchase-order.yaml")
    assert (await builder.publish(NAME)).state == pb.RELEASE_STATE_PUBLISHED


async def test_one_whose_examples_do_not_hold_is_rejected_at_their_lines(builder: Client) -> None:
    source = FILE.read_bytes().replace(b"steps.total > double", b"steps.total < double")
    await builder.create(source, "purchase-order.yaml")
    rejected = await builder.publish(NAME)
    assert rejected.state == pb.RELEASE_STATE_REJECTED
    failed = [one for one in rejected.findings if one.rule == "example-failed"]
    assert [one.path for one in failed] == ["capability.examples[0]", "capability.examples[1]"]
    assert failed[0].severity == manifest_pb2.SEVERITY_ERROR
    assert source.splitlines()[failed[1].line - 1].strip() == b"- name: refused"
    assert failed[0].message == "the example small does not hold: steps.allow is to be skipped, and its turn came"
    assert failed[0].fix == "see hardpoint test FILE"
    await builder.delete(NAME)


async def test_no_cassette_is_of_a_workflow(builder: Client) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await builder.create(FILE.read_bytes(), "purchase-order.yaml", cassettes={"small": b"{}"})
    assert refused.value.reason == "CASSETTE_INVALID"
    assert "stands in its examples" in refused.value.message


def workflow(*steps: dict[str, Any], examples: list[dict[str, Any]]) -> bytes:
    capability = {"id": "bomb", "version": "1.0.0", "workflow": {"steps": steps}, "examples": examples}
    return json.dumps({"capability": capability}, separators=(",", ":")).encode()


def test_no_more_than_twenty_are_told() -> None:
    source = workflow({"id": "a", "action": "desk.do"}, examples=[{}] * 500)
    assert len([one for one in check_publication(source, "bomb.json", None) if one.rule == "example-failed"]) == 20
