"""S32: what an input contains is data: sent literally, encoded or refused, and never evaluated.

By declarative calls, which have no tier; and in both tiers by code, with the engines that `ENGINES` names.
"""

import pytest

from .conftest import WEATHER_KEY, Engine, add_file, http_capability

PYTHON = """
from hardpoint_sdk import action, capability

capability(id="probe", name="Probe", version="1.0.0", description="Passes on", ENGINE hosts=["upstream.test"],
           permissions=["network.http.get"], config={"API_KEY": {"type": "secret", "description": "A key"}})


@action(effect="read")
async def get(self, input):
    await self.fetch(input["url"], headers={"X-Text": input["text"]})
    return {"text": input["text"]}
"""
JAVASCRIPT = """
export default {
  id: 'probe', name: 'Probe', version: '1.0.0', description: 'Passes on', ENGINE hosts: ['upstream.test'],
  permissions: ['network.http.get'], config: { API_KEY: { type: 'secret', description: 'A key' } },
  actions: {
    async get({ url, text }) {
      await this.fetch(url, { headers: { 'X-Text': text } });
      return { text };
    },
  },
};
"""
ECHO = {"inputs": [{"name": "text", "type": "string", "required": True}]}


@pytest.mark.parametrize(
    "text", ["${API_KEY}", "{{API_KEY}}", "secret://API_KEY#00", "${input.text}", "a&b=c", "é %00"]
)
async def test_in_a_query_it_arrives_as_it_was_sent(system, agent, add, text):
    url = system.upstream.serve((200, {"ok": True}))
    await add(
        http_capability(
            url,
            action=ECHO,
            integration={"params": {"text": "${input.text}", "more": "<${input.text}>"}},
            configuration=[{"key": "API_KEY", "label": "Key", "type": "secret", "required": True}],
        ),
        secrets={"API_KEY": WEATHER_KEY},
    )
    response = await agent.execute("probe.get", {"text": text})
    assert response.error is None, response.error
    assert system.upstream.asked(url)[-1].query == {"text": text, "more": f"<{text}>"}
    assert WEATHER_KEY not in repr(system.upstream.asked(url)[-1])


@pytest.mark.parametrize("text", ["x\r\nX-Evil: 1", "x\nx", "x\x00"])
async def test_in_a_header_a_line_break_is_refused(system, agent, add, text):
    url = system.upstream.serve((200, {"ok": True}))
    await add(http_capability(url, action=ECHO, integration={"headers": {"X-Text": "${input.text}"}}))
    response = await agent.execute("probe.get", {"text": text})
    assert response.error is not None
    assert response.error.code.name == "INVALID_ARGUMENT"
    assert system.upstream.asked(url) == []


@pytest.mark.parametrize("text", ["../admin", "..", "a/../../admin", "%2e%2e/admin", "a/b"])
async def test_in_a_path_it_cannot_climb(system, agent, add, text):
    base = system.upstream.serve((200, {"ok": True}))
    await add(http_capability(f"{base}/users/${{input.text}}/profile", action=ECHO))
    response = await agent.execute("probe.get", {"text": text})
    for asked in system.upstream.asked(base):
        prefix = base.removeprefix("https://upstream.test") + "/users/"
        assert asked.path.startswith(prefix)
        assert asked.path.removeprefix(prefix).count("/") == 1
    assert response.error is not None or len(system.upstream.asked(base)) == 1


@pytest.mark.jail
async def test_code_is_given_it_and_passes_it_on_as_it_was_sent(system, client, agent, engine: Engine):
    url = system.upstream.serve((200, {"ok": True}))
    source = PYTHON if engine.ending == ".py" else JAVASCRIPT
    await add_file(client, agent, engine.file(source), f"probe{engine.ending}", secrets={"API_KEY": WEATHER_KEY})
    for text in (
        "${API_KEY}",
        "{{API_KEY}}",
        "`${this.config.API_KEY}`",
        "');process.exit(1)//",
        "secret://API_KEY#00",
    ):
        response = await agent.execute("probe.get", {"url": url, "text": text})
        assert response.data == {"text": text}, response.error
        assert system.upstream.asked(url)[-1].headers["x-text"] == text
    refused = await agent.execute("probe.get", {"url": url, "text": "x\r\nX-Evil: 1"})
    assert refused.error.reason == "HEADER_REFUSED"
    assert len(system.upstream.asked(url)) == 5
    assert WEATHER_KEY not in repr(system.upstream.asked(url))
