"""S33: filters that would be an attack elsewhere. Each place refuses them, says where; what is let in stays bounded."""

import json
import re
from collections.abc import Callable

import pytest

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.registry.v1 import registry_pb2
from hardpoint.runtime.v1 import trigger_pb2
from hardpoint_kit.errors import InvalidArgument

from .conftest import EXAMPLES, http_capability

# Where it is known which names a filter may use, `file` is wrong, or its field; elsewhere its second call, at 47.
HOSTILE = {
    "file.constructor.constructor('return process')()": r" at character (1|47) of the expression",
    "(" * 2000 + "true" + ")" * 2000: r" at character 25 of the expression",
    "(" * 10_000 + ")" * 10_000: "at most 4096 characters",
    "(a+)+$": r" at character 6 of the expression",
}
HARMLESS = "true"
Written = Callable[[str], tuple[str, bytes]]


def example(filename: str, old: str, new: str) -> Written:
    """An example with one of its texts written anew."""
    source = (EXAMPLES / filename).read_text()
    assert source.count(old) == 1
    return lambda hostile: (filename, source.replace(old, new.format(json.dumps(hostile))).encode())


def document(capability: Callable[[str], dict]) -> Written:
    return lambda hostile: ("probe.json", json.dumps({"capability": capability(hostile)}, indent=1).encode())


def declared(hostile: str) -> dict:
    trigger = {"id": "daily", "type": "schedule", "schedule": "0 9 * * *", "filter": hostile}
    return http_capability("https://upstream.test/x", triggers=[trigger])


def drawn(hostile: str) -> dict:
    nodes = [
        {"id": "in", "type": "input"},
        {"id": "which", "type": "branch", "condition": hostile},
        {"id": "yes", "type": "transform", "value": 1},
        {"id": "out", "type": "output", "value": "${steps.which}"},
    ]
    edges = [
        {"from": "in", "to": "which"},
        {"from": "which", "to": "yes", "port": "then"},
        {"from": "yes", "to": "out"},
        {"from": "which", "to": "out", "port": "else"},
    ]
    return {"id": "probe", "name": "Probe", "version": "1.0.0", "flow": {"nodes": nodes, "edges": edges}}


FILTER = "\"file.type === 'pdf' && file.name.includes('invoice')\""
PLACES: dict[str, tuple[Written, str]] = {
    "workflow": (example("invoice-processor.yaml", FILTER, "{}"), "capability.workflow.filter"),
    "step": (
        example("invoice-processor.yaml", 'action: "ocr.extract"', 'action: "ocr.extract"\n        if: {}'),
        "capability.workflow.steps[0].if",
    ),
    "trigger": (document(declared), "capability.triggers[0].filter"),
    "items": (
        example("process-data.yaml", '"double(item.amount) >= double(input.least)"', "{}"),
        "capability.flow.nodes[2].condition",
    ),
    "branch": (document(drawn), "capability.flow.nodes[1].condition"),
}


@pytest.mark.parametrize("place", PLACES)
async def test_a_release_with_a_hostile_filter_is_refused_with_its_position(system, client, place):
    write, path = PLACES[place]
    name, data = write(HARMLESS)
    harmless = (await client.push(data, name, validate_only=True)).release
    wrong = [finding for finding in harmless.findings if finding.severity == manifest_pb2.SEVERITY_ERROR]
    assert not wrong, "it is the filter that is refused below"
    for hostile, words in HOSTILE.items():
        name, data = write(hostile)
        line = next(number for number, text in enumerate(data.decode().splitlines(), 1) if hostile in text)
        with pytest.raises(InvalidArgument) as refused:
            await client.push(data, name)
        assert refused.value.reason == "MANIFEST_INVALID"
        assert re.search(words, refused.value.violations[path])
        assert refused.value.place.startswith(f"{name}:{line}:")
    listed = await client.registry.ListCapabilities(registry_pb2.ListCapabilitiesRequest(parent=client.org))
    assert not listed.capabilities


async def test_a_trigger_with_a_hostile_filter_is_refused_with_its_position(system, client, agent, add):
    await add(http_capability(system.upstream.serve((200, {}))))

    async def create(**words: str) -> trigger_pb2.Trigger:
        trigger = trigger_pb2.Trigger(
            type=trigger_pb2.TRIGGER_TYPE_SCHEDULE, schedule="0 9 * * *", action="probe.get", **words
        )
        request = trigger_pb2.CreateTriggerRequest(parent=agent.name, trigger_id="daily", trigger=trigger)
        return await client.triggers.CreateTrigger(request)

    for hostile, words in HOSTILE.items():
        with pytest.raises(InvalidArgument) as refused:
            await create(filter=hostile)
        assert re.search(words, refused.value.violations["trigger.filter"])
    listed = await client.triggers.ListTriggers(trigger_pb2.ListTriggersRequest(parent=agent.name))
    assert not listed.triggers
    made = await create(filter=HARMLESS)
    for hostile, words in HOSTILE.items():
        update = trigger_pb2.UpdateTriggerRequest(trigger=trigger_pb2.Trigger(name=made.name, filter=hostile))
        update.update_mask.paths.append("filter")
        with pytest.raises(InvalidArgument) as refused:
            await client.triggers.UpdateTrigger(update)
        assert re.search(words, refused.value.violations["trigger.filter"])


def keeping(id: str, condition: str) -> dict:
    """A flow that keeps of its `rows` what the condition holds for."""
    inputs = {"rows": {"type": "array", "required": True}}
    nodes = [
        {"id": "in", "type": "input", "inputs": inputs},
        {"id": "kept", "type": "filter", "input": "${input.rows}", "condition": condition},
        {"id": "out", "type": "output", "outputs": {"kept": {"type": "array"}}, "value": {"kept": "${steps.kept}"}},
    ]
    edges = [{"from": "in", "to": "kept"}, {"from": "kept", "to": "out"}]
    return {"id": id, "name": id, "version": "1.0.0", "flow": {"nodes": nodes, "edges": edges}}


async def test_what_a_filter_may_say_has_bounds(system, agent, add):
    """Where others backtrack for ever there is an answer; what would grow beyond the bounds ends with its reason."""
    await add(keeping("matching", "item.matches('^(a+)+$')"))
    rows = ["a" * 5000 + "!", "a" * 5000]
    assert (await agent.execute("matching.run", {"rows": rows})).data == {"kept": rows[1:]}

    await add(keeping("growing", "size(input.rows.map(i, input.rows.map(j, i * j))) > item"))
    few, many = [1, 2, 3], list(range(9000))
    assert (await agent.execute("growing.run", {"rows": few})).data == {"kept": [1, 2]}
    refused = await agent.execute("growing.run", {"rows": many})
    assert refused.error.reason == "EXPRESSION_FAILED"
    assert (await agent.execute("growing.run", {"rows": few})).error is None
