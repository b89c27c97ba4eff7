"""S34: the design document's broken examples are refused with the place and the way out."""

import pytest
import yaml

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.registry.v1 import registry_pb2
from hardpoint_kit.documents import from_value
from hardpoint_kit.errors import InvalidArgument
from hardpoint_manifest.finding import PatchOp, apply_patch
from hardpoint_manifest.load import load

from .conftest import EXAMPLES, add_file


@pytest.mark.jail
async def test_what_is_not_javascript(client):
    with pytest.raises(InvalidArgument) as refused:
        await client.push((EXAMPLES / "custom-db-query.js").read_bytes(), "custom-db-query.js")
    assert refused.value.reason == "HEADER_UNREADABLE"
    assert refused.value.place.startswith("custom-db-query.js:4")
    assert "':'" in refused.value.message
    assert "async queryCustomers(input)" in refused.value.fix


@pytest.mark.jail
async def test_a_permission_that_does_not_exist_has_a_nearest(client):
    repaired = (EXAMPLES / "custom-db-query.js").read_text().replace("async actions:", "actions:")
    with pytest.raises(InvalidArgument) as refused:
        await client.push(repaired.encode(), "custom-db-query.js")
    assert refused.value.reason == "MANIFEST_INVALID"
    assert "database.read" in refused.value.message
    assert "did you mean data.read?" in refused.value.message


async def test_a_missing_permission_comes_with_its_patch_and_then_it_runs(system, client, agent):
    data = (EXAMPLES / "currency-converter.yaml").read_bytes()
    with pytest.raises(InvalidArgument) as refused:
        await client.push(data, "currency-converter.yaml")
    assert "network.http.get" in refused.value.message
    checked = (await client.push(data, "currency-converter.yaml", validate_only=True)).release
    (missing,) = (f for f in checked.findings if f.severity == manifest_pb2.SEVERITY_ERROR)
    patch = [PatchOp(o.op, o.path, from_value(o.value)) for o in missing.patch]
    listed = await client.registry.ListCapabilities(registry_pb2.ListCapabilitiesRequest(parent=client.org))
    assert list(listed.capabilities) == []

    repaired = apply_patch(load(data, "currency-converter.yaml").data, patch)
    url = system.upstream.serve((200, {"result": 92.5}))
    repaired["capability"]["integration"]["endpoint"] = url
    await add_file(client, agent, yaml.safe_dump(repaired).encode(), "repaired.yaml")
    called = await agent.execute("currency-converter.convert", {"amount": 100, "from": "USD", "to": "EUR"})
    assert (called.data, called.error) == ({"result": 92.5}, None)
    assert [asked.query for asked in system.upstream.asked(url)] == [{"amount": "100", "from": "USD", "to": "EUR"}]
