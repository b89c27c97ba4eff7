"""S36: an answer that is not what was declared is a named error, never null."""

import pytest

from .conftest import http_capability

OUTPUTS = {
    "outputs": [
        {"name": "temperature", "type": "number", "required": True},
        {"name": "condition", "type": "string"},
    ]
}
MAPPING = {"temperature": "data.temp", "condition": "data.weather[0].main"}
CASES = {
    "omitted": ((200, {"weather": [{"main": "Sunny"}]}), "MAPPING_MISSING", "data.temp"),
    "text for a number": ((200, {"temp": "72", "weather": [{"main": "Sunny"}]}), "TYPE_MISMATCH", "temperature"),
    "html": ((200, b"<html>maintenance</html>"), "NOT_JSON", "text/html"),
    "server error": ((503, {"error": "later"}), "UPSTREAM_ERROR", "503"),
}


@pytest.mark.parametrize("case", CASES)
async def test_named(system, client, agent, add, case):
    answer, reason, said = CASES[case]
    url = system.upstream.serve(answer)
    await add(http_capability(url, action=OUTPUTS, integration={"response_mapping": MAPPING}))
    response = await agent.execute("probe.get")
    assert response.error is not None
    assert response.error.reason == reason
    assert said in f"{response.error.message} {response.error.place} {response.error.metadata}"
    assert response.run, "the failure is on record"


async def test_slack_says_ok_false_with_status_200(system, agent, add):
    url = system.upstream.serve((200, {"ok": False, "error": "channel_not_found"}))
    await add(http_capability(url, integration={"success": "data.ok", "error": "data.error"}))
    response = await agent.execute("probe.get")
    assert response.error.reason == "UPSTREAM_ERROR"
    assert "channel_not_found" in response.error.message
