"""Standard capabilities from end to end: attached without being installed, fed with real documents, listed."""

import pytest

from hardpoint.marketplace.v1 import marketplace_pb2
from hardpoint.runtime.v1 import installation_pb2
from hardpoint_client import Agent, Hardpoint
from hardpoint_client.files import handle_of
from hardpoint_kit.errors import NotFound
from hardpoint_standard import NAMES
from standard import documents
from standard.documents import INVOICE


async def test_an_agent_reads_a_scanned_invoice_in_an_org_that_installed_nothing(
    client: Hardpoint, agent: Agent
) -> None:
    await client.attach(agent.id, "ocr")
    scan = await client.upload_file(documents.scanned(INVOICE), "invoice.pdf")
    read = await agent.execute("ocr.extract", {"input": handle_of(scan)})
    assert read.error is None, read.error
    assert "Total amount: 1,234.56 EUR" in read.data
    locked = await client.upload_file(documents.written(INVOICE, password="secret"), "locked.pdf")
    refused = await agent.execute("ocr.extract", {"input": handle_of(locked)})
    assert (refused.error.reason, refused.error.metadata["name"]) == ("USER_ERROR", "FileEncrypted")


async def test_what_does_not_fit_a_schema_is_named_and_a_file_is_saved_and_read_back(
    client: Hardpoint, agent: Agent
) -> None:
    for name in ("validate", "files"):
        await client.attach(agent.id, name)
    schema = {"type": "object", "properties": {"amount": {"type": "number"}}, "required": ["number"]}
    wrong = await agent.execute("validate.schema", {"input": {"amount": "much"}, "schema": schema})
    assert wrong.error.message == (
        "DoesNotFit: input: 'number' is a required property; input.amount: 'much' is not of type 'number'"
    )
    value = {"number": "INV-1", "amount": 12}
    assert (await agent.execute("validate.schema", {"input": value, "schema": schema})).data == value
    saved = (await agent.execute("files.save", {"name": "a.csv", "data": "a,b\n1,2\n"})).data["file"]
    assert (await agent.execute("files.read", {"input": saved})).data == {"data": "a,b\n1,2\n", "bytes": 8}


async def test_they_are_listed_as_built_in_and_an_org_may_do_without_one(client: Hardpoint) -> None:
    search = marketplace_pb2.SearchListingsRequest(tag="built-in", page_size=50)
    listings = (await client.marketplace.SearchListings(search)).listings
    assert sorted(one.name for one in listings) == [f"listings/hardpoint.{name}" for name in NAMES]
    ask = installation_pb2.ListInstallationsRequest(parent=client.org)
    installed = (await client.installations.ListInstallations(ask)).installations
    assert sorted(one.name.rpartition("/")[2] for one in installed) == sorted(NAMES)

    email = f"{client.org}/installations/email"
    await client.installations.DeleteInstallation(installation_pb2.DeleteInstallationRequest(name=email))
    with pytest.raises(NotFound):
        await client.installations.GetInstallation(installation_pb2.GetInstallationRequest(name=email))
