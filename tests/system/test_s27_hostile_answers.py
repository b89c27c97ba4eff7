"""What hostile code says is carried through the whole house, or refused by name; it never breaks what carries it."""

import pytest

from hardpoint_kit.errors import InvalidArgument

from .conftest import add_file, http_capability

SOURCE = rb"""
import json
import os

from hardpoint_sdk import action, capability

capability(id="strange", name="Strange", version="1.0.0", description="Says strange things")


def nested(depth):
    value = 1
    for _ in range(depth):
        value = {"a": value}
    return value


ANSWERS = {
    "nul": lambda: {"text": "a\0b", "k\0": 1},
    "deep": lambda: nested(58),
    "lists": lambda: {"a": eval("[" * 58 + "]" * 58)},
    "numbers": lambda: {"large": 10**300, "exact": 2**53 + 1, "small": -(10**300), "zero": -0.0},
    "keys": lambda: {"__proto__": {"a": 1}, "constructor": 1, "": 2, "a.b[0]": 3, "\u202e": 4, "${x}": "{{y}}"},
    "escapes": lambda: {"text": "\x1b]0;owned\x07\x1b[2J\r\n"},
    "wide": lambda: {"a": [[]] * 40_000},
    "too wide": lambda: {"a": [[]] * 200_000},
    "long": lambda: {"a": "x" * 1_000_000},
}


@action(effect="read")
async def say(self, input):
    return ANSWERS[input["what"]]()


@action(effect="read")
async def fail(self, input):
    self.log("a\0b\x1b[2J", "error")
    self.progress(0.5, "\0")
    failure = {"name": "Odd\0\x1b[2J" + "x" * 5000, "message": "m\0\r\n" + "y" * 5000}
    failure["stack"] = [{"function": "f\0", "file": "\0", "line": 10**300, "column": -1}]
    body = json.dumps({"failure": failure}).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)
"""
ENDS = {
    "nul": "",
    "deep": "OUTPUT_LIMIT",
    "lists": "OUTPUT_LIMIT",
    "numbers": "",
    "keys": "",
    "escapes": "",
    "wide": "",
    "too wide": "OUTPUT_LIMIT",
    "long": "",
}


@pytest.mark.jail
@pytest.mark.parametrize("what", ENDS)
async def test_an_answer_is_carried_or_refused(system, client, agent, what):
    await add_file(client, agent, SOURCE, "strange.py")
    answer = await agent.execute("strange.say", {"what": what})
    assert answer.run
    assert (answer.error.reason if answer.error else "") == ENDS[what], answer.error
    assert answer.error or answer.data


@pytest.mark.jail
async def test_a_header_that_is_too_deep_is_refused(system, client):
    source = "let h = {}; for (let n = 0; n < 60; n += 1) h = { h }; export default { id: 'deep', h, actions: {} };"
    with pytest.raises(InvalidArgument) as refused:
        await client.push(source.encode(), "deep.js")
    assert refused.value.reason == "HEADER_UNREADABLE"


async def test_an_upstream_that_answers_too_deep_is_refused(system, client, agent, add):
    nested = 1
    for _ in range(40):
        nested = [nested]
    await add(http_capability(system.upstream.serve((200, {"a": nested}))))
    answer = await agent.execute("probe.get")
    assert answer.error.reason == "OUTPUT_LIMIT"


async def test_an_upstream_that_answers_with_too_many_values_is_refused(system, client, agent, add):
    await add(http_capability(system.upstream.serve((200, {"a": [1] * 60_000}))))
    answer = await agent.execute("probe.get")
    assert (answer.error.reason, answer.error.metadata["limit"]) == ("OUTPUT_LIMIT", "50000 values")


@pytest.mark.jail
async def test_a_failure_is_carried(system, client, agent):
    await add_file(client, agent, SOURCE, "strange.py")
    answer = await agent.execute("strange.fail")
    assert answer.error.reason == "USER_ERROR"
    assert answer.run
