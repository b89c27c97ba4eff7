"""Another org's names are NOT_FOUND on every RPC, and a wrong token is UNAUTHENTICATED on every RPC."""

import uuid
from dataclasses import dataclass
from typing import Any

import grpc.aio
import pytest
from demo.daemon import UNITS
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from hardpoint.audit.v1 import audit_pb2
from hardpoint.audit.v1.audit_pb2_grpc import AuditServiceStub
from hardpoint.auth.v1 import rule_pb2
from hardpoint.files.v1.files_pb2_grpc import ExecutionFileServiceStub
from hardpoint_client import Agent, Hardpoint, Login
from hardpoint_kit.errors import HardpointError, NotFound, PermissionDenied, Unauthenticated

from .conftest import EXAMPLES, System, add_file

FOR_EXECUTIONS = "hardpoint.files.v1.ExecutionFileService"
AUDIT = "hardpoint.audit.v1.AuditService"

SERVICES = {
    AUDIT: "",
    "hardpoint.registry.v1.RegistryService": "registry",
    "hardpoint.registry.v1.ArtifactService": "artifacts",
    "hardpoint.config.v1.ConfigService": "config",
    "hardpoint.marketplace.v1.MarketplaceService": "marketplace",
    "hardpoint.files.v1.FileService": "files",
    FOR_EXECUTIONS: "",
    "hardpoint.executor.v1.ExecutorService": "executor",
    "hardpoint.runtime.v1.AgentService": "agents",
    "hardpoint.runtime.v1.InstallationService": "installations",
    "hardpoint.runtime.v1.PolicyService": "policy",
    "hardpoint.runtime.v1.RunService": "runs",
    "hardpoint.runtime.v1.TriggerService": "triggers",
}
NAMES = {
    "org": "orgs/{org}",
    "parent": "orgs/{org}",
    "release": "orgs/{org}/capabilities/weather-lookup/releases/1.0.0",
    "capability": "orgs/{org}/capabilities/weather-lookup",
    "agent": "orgs/{org}/agents/helper",
    "settings": "orgs/{org}/settings/weather-lookup",
    "installation": "orgs/{org}/installations/weather-lookup",
    "run": "orgs/{org}/runs/{run}",
    "step": "orgs/{org}/runs/{run}/steps/1",
}
PARENTS = {
    "ListReleases": "orgs/{org}/capabilities/weather-lookup",
    "ListAttachments": "orgs/{org}/agents/helper",
    "AttachCapability": "orgs/{org}/agents/helper",
    "ListSteps": "orgs/{org}/runs/{run}",
    "CreateTrigger": "orgs/{org}/agents/helper",
    "ListTriggers": "orgs/{org}/agents/helper",
    "ListDeliveries": "orgs/{org}/agents/helper/triggers/hook",
}
RESOURCES = {
    "Agent": "orgs/{org}/agents/helper",
    "Attachment": "orgs/{org}/agents/helper/attachments/weather-lookup",
    "Installation": "orgs/{org}/installations/weather-lookup",
    "Run": "orgs/{org}/runs/{run}",
    "Release": "orgs/{org}/capabilities/weather-lookup/releases/1.0.0",
    "Capability": "orgs/{org}/capabilities/weather-lookup",
    "Settings": "orgs/{org}/settings/weather-lookup",
    "Connection": "orgs/{org}/connections/weather-lookup",
    "ConnectClient": "orgs/{org}/connections/weather-lookup",
    "ConnectUsers": "orgs/{org}/connections/weather-lookup",
    "Secret": "orgs/{org}/secrets/weather-lookup-api-key",
    "File": "orgs/{org}/files/{file}",
    "Policy": "orgs/{org}/policy",
    "Listing": "listings/{org}.weather-lookup",
    "Trigger": "orgs/{org}/agents/helper/triggers/hook",
    "Delivery": "orgs/{org}/agents/helper/triggers/hook/deliveries/0123456789ab-000000000000",
}
VALUES = {
    "page_size": 1,
    "agent_id": "another",
    "secret_id": "another",
    "digest": "sha256:" + "0" * 64,
    "filename": "x.yaml",
    "action": "weather-lookup.get-weather",
    "source": b"x",
    "value": b"x",
    "execution_id": "x",
    "ticket": "x",
    "display_name": "x",
    "token": "x",
    "redirect_uri": "http://127.0.0.1:1/",
    "code": "x",
    "state": "x",
    "event": "x",
    "trigger_id": "another",
    "key": "API_KEY",
    "scheme": 1,
}
ENUMS = {"decision": 1}
WITHOUT_A_NAME = {"SearchListings", "RedeemLease", "ReadArtifact", "WatchChanges", "OpenFile", "SaveFile", "WatchFiles"}
WITHOUT_A_NAME |= {"Deliver"}
EMPTY_FOR_OTHERS = {"ListCapabilities", "BatchGetCapabilities"}
"""Lists what an org shows to all, which for a stranger is a list with nothing in it."""


def methods() -> list[MethodDescriptor]:
    pool = descriptor_pool.Default()
    return [method for name in SERVICES for method in pool.FindServiceByName(name).methods]


def resource_of(method: MethodDescriptor) -> str:
    if method.containing_service.name == "InstallationService":
        return RESOURCES["Installation"]
    noun = next((noun for noun in sorted(RESOURCES, key=len, reverse=True) if noun in method.name), "")
    return RESOURCES.get(noun, "")


def request_for(method: MethodDescriptor, org: str, run: str = "0", file: str = "0") -> Any:
    """A request that is complete and names the org's resources."""
    ids = {"org": org, "run": run, "file": file}
    message = _message(method.input_type, method)
    _fill(message, method, ids)
    return message


def _message(descriptor: Any, _method: MethodDescriptor) -> Any:
    from google.protobuf.message_factory import GetMessageClass

    return GetMessageClass(descriptor)()


def _fill(message: Any, method: MethodDescriptor, ids: dict[str, str]) -> None:
    for field in message.DESCRIPTOR.fields:
        if field.name == "name":
            message.name = resource_of(method).format(**ids)
        elif field.name == "parent":
            message.parent = PARENTS.get(method.name, NAMES["parent"]).format(**ids)
        elif field.name == "names":
            message.names.append(NAMES["capability"].format(**ids))
        elif field.name == "action" and field.type == FieldDescriptor.TYPE_MESSAGE:
            message.action.id = "get-weather"
        elif field.name in NAMES and field.type == FieldDescriptor.TYPE_STRING:
            setattr(message, field.name, NAMES[field.name].format(**ids))
        elif field.name in VALUES and not field.is_repeated and field.type != FieldDescriptor.TYPE_ENUM:
            setattr(message, field.name, VALUES[field.name])
        elif field.name in ENUMS and field.type == FieldDescriptor.TYPE_ENUM:
            setattr(message, field.name, ENUMS[field.name])
        elif field.type == FieldDescriptor.TYPE_MESSAGE and field.name in {
            "capability",
            "settings",
            "listing",
            "installation",
            "agent",
            "attachment",
            "trigger",
            "policy",
            "header",
        }:
            if field.name == "header" and method.name not in {"UploadArtifact", "UploadFile", "SaveFile"}:
                continue
            getattr(message, field.name).SetInParent()
            _fill(getattr(message, field.name), method, ids)


async def ask(client: Hardpoint, method: MethodDescriptor, request: Any) -> Any:
    name = method.containing_service.full_name
    if name == FOR_EXECUTIONS:
        stub = ExecutionFileServiceStub(client.channel("files"))
    elif name == AUDIT:
        stub = AuditServiceStub(client.channel("registry"))
    else:
        stub = getattr(client, SERVICES[name])
    call = getattr(stub, method.name)
    if method.client_streaming:

        async def once():
            yield request

        return await call(once())
    if method.server_streaming:
        return [message async for message in call(request, timeout=5)]
    return await call(request)


@dataclass(frozen=True)
class Owner:
    """An org that has one of everything, and the names that it did not choose."""

    org: str
    run: str
    file: str


@pytest.fixture(scope="module")
async def owner(_deployed: System) -> Owner:
    """Made once for all who may not see any of it."""
    org = f"org-{uuid.uuid4().hex[:10]}"
    client = _deployed.client(org)
    agent = Agent(client, "helper")
    await agent.create()
    data = (EXAMPLES / "weather-capability.yaml").read_bytes()
    await add_file(client, agent, data, "weather-capability.yaml", secrets={"API_KEY": "key-of-the-owner"})
    failed = await agent.execute("weather-lookup.get-weather", {"location": "x"})
    file = await client.upload_file(b"x", "x")
    return Owner(org, failed.run.rpartition("/")[2], file.name.rpartition("/")[2])


async def test_no_service_is_left_out(system):
    """Those that are walked are those that are served: reflection tells."""
    served = set()
    for address in set(system.deployment.addresses().values()):
        async with grpc.aio.insecure_channel(address) as channel:
            asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            async for answer in ServerReflectionStub(channel).ServerReflectionInfo(asked):
                served |= {service.name for service in answer.list_services_response.service}
    assert {name for name in served if not name.startswith("grpc.")} == set(SERVICES)


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit not in ("executor", "door")])
async def test_another_orgs_events_are_not_found_in_any_unit(system, owner, unit):
    assert (await system.client(owner.org).events(unit)).events or unit == "marketplace"
    stranger = system.client(f"{owner.org}-x", subject="stranger")
    stub = AuditServiceStub(stranger.channel(unit))
    with pytest.raises(NotFound):
        await stub.ListEvents(
            audit_pb2.ListEventsRequest(parent=f"orgs/{owner.org}"), metadata=[("hardpoint-unit", unit)]
        )


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.name)
async def test_another_orgs_names_are_not_found(system, owner, method):
    if method.name in WITHOUT_A_NAME:
        return
    stranger = system.client(f"{owner.org}-x", subject="stranger")
    request = request_for(method, owner.org, owner.run, owner.file)

    if method.name in EMPTY_FOR_OTHERS:
        assert not (await ask(stranger, method, request)).ListFields()
        return
    units_only = method.GetOptions().Extensions[rule_pb2.rule].who == rule_pb2.WHO_SERVICE
    with pytest.raises(PermissionDenied if units_only else NotFound) as refused:
        await ask(stranger, method, request)
    assert units_only or "not found" in refused.value.message


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.name)
async def test_a_wrong_token_is_unauthenticated(system, org, method):
    right = system.token(org)
    wrong = right[:-6] + ("AAAAAA" if right[-6:] != "AAAAAA" else "BBBBBB")
    async with Hardpoint(Login(system.deployment.address, wrong, system.deployment.addresses())) as client:
        with pytest.raises(Unauthenticated) as refused:
            await ask(client, method, request_for(method, org))
    assert refused.value.fix or method.name in {"ReadArtifact", "RedeemLease"}


async def test_a_role_may_only_what_it_may(system, org, agent, add):
    await add("weather-capability.yaml", secrets={"API_KEY": "k"})
    as_agent = system.client(org, ["agent"], "the-agent")
    assert [tool.name for tool in await as_agent.tools(agent.id)] == ["weather-lookup.get-weather"]
    for forbidden in (
        as_agent.detach(agent.id, "weather-lookup"),
        as_agent.set_secret("weather-lookup", "API_KEY", "mine"),
        as_agent.push(b"capability: {}", "x.yaml"),
    ):
        with pytest.raises(HardpointError) as refused:
            await forbidden
        assert refused.value.reason == "PERMISSION_DENIED"
