"""The connector to a CRM over HTTP: what HubSpot is asked, what its answers become, and where nothing leads."""

import json
from pathlib import Path
from typing import Any

import pytest

from executor.brokers import broker_of, client_of
from executor.upstream import Seen, Upstream, json_answer
from hardpoint_executor.runners.http import HttpPlan
from hardpoint_kit.errors import HardpointError
from hardpoint_manifest.check import check
from hardpoint_manifest.load import load
from hardpoint_manifest.model import Manifest
from hardpoint_standard import shipped

TOKEN = "pat-canary-1f09c2"
HOST = "api.hubapi.com"
ADA = {"id": "7", "properties": {"email": "ada@example.com", "firstname": "Ada"}}


def manifest() -> Manifest:
    return next(one.manifest for one in shipped() if one.filename == "crm.yaml")


async def ran(action: str, *answers: bytes, **input: Any) -> tuple[Any, list[Seen]]:
    """The output, or the error, and what HubSpot saw."""
    declared = manifest().action(action)
    assert declared is not None
    waiting = iter(answers)
    async with Upstream(lambda _: next(waiting)) as api, client_of({HOST: api}) as client:
        authority = manifest().authority
        hosts = tuple(authority.hosts)
        broker = broker_of(client, permissions=authority.permissions, hosts=hosts, secrets={"ACCESS_TOKEN": TOKEN})
        try:
            output = await HttpPlan.compile(declared, manifest()).run(broker, declared.with_defaults(input), {})
        except HardpointError as error:
            output = broker.outlet.error(error)
        assert all(seen.header("authorization") == f"Bearer {TOKEN}" for seen in api.seen)
        return output, api.seen


async def test_contacts_are_found_read_made_and_changed() -> None:
    found, [seen] = await ran("search", json_answer({"total": 1, "results": [ADA]}), query="ada")
    assert found == {"contacts": [ADA], "total": 1}
    assert (seen.method, seen.target) == ("POST", "/crm/v3/objects/contacts/search")
    assert {name: json.loads(seen.body)[name] for name in ("query", "after")} == {"query": "ada", "after": "0"}

    pages = [json_answer({"results": [ADA], "paging": {"next": {"after": "7"}}}), json_answer({"results": [ADA]})]
    found, [_, second] = await ran("list", *pages)
    assert found == {"contacts": [ADA, ADA], "more": False}
    assert "after=7" in second.target

    read, [seen] = await ran("get", json_answer(ADA), contact="7")
    assert read == {"contact": "7", "properties": ADA["properties"]}
    assert seen.target.startswith("/crm/v3/objects/contacts/7?properties=")

    made, [seen] = await ran("create", json_answer({"id": "8"}, 201), properties={"email": "bob@example.com"})
    assert (made, json.loads(seen.body)) == ({"contact": "8"}, {"properties": {"email": "bob@example.com"}})
    _, [seen] = await ran("update", json_answer({"id": "8"}), contact="8", properties={"phone": "1"})
    assert (seen.method, seen.target) == ("PATCH", "/crm/v3/objects/contacts/8")


async def test_notes_are_kept_on_a_contact() -> None:
    note = {"contact": "7", "text": "Called {{TOKEN}}", "time": "2026-03-28T09:00:00Z"}
    made, [seen] = await ran("add-note", json_answer({"id": "9"}, 201), **note)
    body = json.loads(seen.body)
    assert (made, body["properties"]["hs_note_body"]) == ({"note": "9"}, "Called {{TOKEN}}")
    assert body["associations"][0]["to"] == {"id": "7"}
    listed, [seen] = await ran("notes", json_answer({"results": [{"id": "9"}]}), contact="7")
    assert listed == {"notes": [{"id": "9"}]}
    assert json.loads(seen.body)["filterGroups"][0]["filters"][0]["value"] == "7"


async def test_a_refusal_is_told_in_its_words_and_a_write_is_not_made_twice() -> None:
    taken = json_answer({"message": f"Contact exists; sent with {TOKEN}"}, 409)
    error, seen = await ran("create", taken, properties={"email": "ada@example.com"})
    assert isinstance(error, HardpointError)
    assert ("Contact exists" in error.message, TOKEN in error.message, len(seen)) == (True, False, 1)
    error, seen = await ran("create", json_answer({}, 503), properties={})
    assert (isinstance(error, HardpointError), len(seen)) == (True, 1)
    read, seen = await ran("get", json_answer({}, 503), json_answer(ADA), contact="7")
    assert (read["contact"], len(seen)) == ("7", 2)


@pytest.mark.parametrize("contact", ["../../../oauth/v1/access-tokens", "7?archived=true", "7/../8", "%2e%2e/x"])
async def test_an_id_leads_to_no_other_endpoint(contact: str) -> None:
    output, seen = await ran("get", json_answer(ADA), contact=contact)
    for request in seen:
        path, _, query = request.target.partition("?")
        assert path.count("/") == 5, request.target
        assert query.startswith("properties="), request.target
    assert seen or isinstance(output, HardpointError)


def test_a_flow_that_calls_it_reaches_its_host_and_gives_it_no_secret_of_its_own(tmp_path: Path) -> None:
    text = """
        {"capability": {"id": "greeter", "version": "1.0.0", "type": "workflow",
         "configuration": [{"key": "OWN", "type": "secret"}],
         "workflow": {"steps": [{"id": "find", "action": "crm.search", "query": "ada"}]}}}
    """
    found = check(load(text.encode(), "greeter.json")).manifest
    assert found is not None
    assert (found.permissions, found.hosts) == (("network.http.post",), (HOST,))
    assert [(one.key, one.hosts) for one in found.requirements] == [("OWN", ())]
