"""Finding out what is wrong: each check stands for itself and ends in words, whatever happens."""

import os
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import Default
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from hardpoint.config.v1 import config_pb2
from hardpoint.executor.v1 import executor_pb2
from hardpoint.files.v1 import files_pb2
from hardpoint.marketplace.v1 import marketplace_pb2
from hardpoint.registry.v1 import registry_pb2
from hardpoint.runtime.v1 import agent_pb2
from hardpoint_cli.session import ANOTHER_LOGIN
from hardpoint_client import Hardpoint, Login
from hardpoint_client.login import UNITS
from hardpoint_kit.errors import (
    DeadlineExceeded,
    HardpointError,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)

PATIENCE_SECONDS = 2.0
JAIL_SECONDS = 10.0
SERVICES: Mapping[str, tuple[str, ...]] = {
    "config": ("hardpoint.config.v1.ConfigService",),
    "registry": ("hardpoint.registry.v1.RegistryService", "hardpoint.registry.v1.ArtifactService"),
    "marketplace": ("hardpoint.marketplace.v1.MarketplaceService",),
    "files": ("hardpoint.files.v1.FileService",),
    "executor": ("hardpoint.executor.v1.ExecutorService",),
    "runtime": (
        "hardpoint.runtime.v1.AgentService",
        "hardpoint.runtime.v1.InstallationService",
        "hardpoint.runtime.v1.PolicyService",
        "hardpoint.runtime.v1.RunService",
        "hardpoint.runtime.v1.TriggerService",
    ),
}
"""The contracts that each unit serves."""

_PROBE = b'from hardpoint_sdk import action, capability\ncapability(id="doctor", name="Doctor", version="1.0.0")\n'


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what was found, and what to do when it is not `ok`."""

    name: str
    ok: bool
    found: str
    fix: str = ""


async def diagnose() -> list[Check]:
    """Every check, in an order in which the first that fails is likely to be the cause."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        login = Login.find()
        claims = login.claims
    except Unauthenticated as error:
        return [Check("login", False, error.message, error.fix)]
    checks = [_token(claims)]
    async with Hardpoint(login) as client:
        places = {login.address_of(unit): await _reach(client, unit) for unit in _one_for_each_address(login)}
        checks += places.values()
        answering = [unit for unit in UNITS if places[login.address_of(unit)].ok]
        for unit in answering:
            try:
                checks.append(await _unit(client, unit))
            except Unauthenticated as error:
                checks.append(Check(unit, True, "serving; not tried further: your token is refused"))
                checks[0] = Check("token", False, error.message, ANOTHER_LOGIN)
        if answering:
            checks.append(await _contracts(client, answering))
    return checks


def _one_for_each_address(login: Login) -> Iterable[str]:
    return {login.address_of(unit): unit for unit in UNITS}.values()


def _token(claims: Mapping[str, Any]) -> Check:
    """Who the token says one is, and for how long; the server has the last word."""
    roles = ", ".join(map(str, claims.get("roles") or [])) or "no roles"
    who = f"{claims.get('sub', 'nobody')} of {claims['org']}, {roles}"
    if not isinstance(claims.get("exp"), int | float):
        return Check("token", False, f"{who}; it says not when it ends", "use a token of Hardpoint's issuer")
    left = claims["exp"] - time.time()
    if left <= 0:
        return Check("token", False, f"{who}; expired {_span(-left)} ago", ANOTHER_LOGIN)
    return Check("token", True, f"{who}; good for {_span(left)}")


async def _reach(client: Hardpoint, unit: str) -> Check:
    """Whether anybody answers at the unit's address, and how fast."""
    address = client.login.address_of(unit)
    try:
        await _health(client, unit, "")  # opens the connection
        started = time.perf_counter()
        await _health(client, unit, "")
    except (Unavailable, DeadlineExceeded):
        fix = "start a server with `make up`, or set HARDPOINT_ADDRESS to the host:port of yours"
        return Check(f"server {address}", False, "does not answer", fix)
    except HardpointError as error:
        return Check(f"server {address}", False, f"is no Hardpoint server: {error.message}", "check HARDPOINT_ADDRESS")
    return Check(f"server {address}", True, f"answers in {(time.perf_counter() - started) * 1000:.1f} ms")


async def _unit(client: Hardpoint, unit: str) -> Check:
    """Whether a unit is healthy by its own word, and does a small piece of real work; raises Unauthenticated."""
    address = client.login.address_of(unit)
    try:
        unwell = [name for name in SERVICES[unit] if await _health(client, unit, name) != _SERVING]
    except NotFound:
        fix = f"serve it there, or set HARDPOINT_{unit.upper()}_ADDRESS to where it is"
        return Check(unit, False, f"is not served at {address}", fix)
    except HardpointError as error:
        return _failed(unit, error)
    try:
        worked = await _probe(client, unit)
    except PermissionDenied:
        worked = "not tried further: your roles do not allow it"
    except Unauthenticated:
        raise
    except HardpointError as error:
        return _failed(unit, error)
    if unwell:
        return Check(unit, False, "says that it is not ready", "look into the server's log for `readiness changed`")
    return Check(unit, True, f"serving; {worked}")


async def _probe(client: Hardpoint, unit: str) -> str:
    """Ask a unit for something that takes its database or its jail; what was asked."""
    match unit:
        case "config":
            request = config_pb2.ListSecretsRequest(parent=client.org, page_size=1)
            await client.config.ListSecrets(request, timeout=PATIENCE_SECONDS)
            return "listed secrets"
        case "registry":
            capabilities = registry_pb2.ListCapabilitiesRequest(parent=client.org, page_size=1)
            await client.registry.ListCapabilities(capabilities, timeout=PATIENCE_SECONDS)
            return "listed capabilities"
        case "marketplace":
            listings = marketplace_pb2.SearchListingsRequest(page_size=1)
            await client.marketplace.SearchListings(listings, timeout=PATIENCE_SECONDS)
            return "searched listings"
        case "files":
            files = files_pb2.ListFilesRequest(parent=client.org, page_size=1)
            await client.files.ListFiles(files, timeout=PATIENCE_SECONDS)
            return "listed files"
        case "executor":
            header = executor_pb2.ReadHeaderRequest(parent=client.org, filename="doctor.py", source=_PROBE)
            await client.executor.ReadHeader(header, timeout=JAIL_SECONDS)
            return "ran Python in a jail"
        case _:
            agents = agent_pb2.ListAgentsRequest(parent=client.org, page_size=1)
            await client.agents.ListAgents(agents, timeout=PATIENCE_SECONDS)
            return "listed agents"


async def _contracts(client: Hardpoint, units: Iterable[str]) -> Check:
    """Whether the servers know every method and field of the contracts that this program knows."""
    lacking: list[str] = []
    try:
        for unit in units:
            for service in SERVICES[unit]:
                lacking += lacks(await _served_files(client, unit, service), service)
    except HardpointError as error:
        return Check("contracts", True, f"not compared: {error.message}")
    if lacking:
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        fix = "the server is older than this CLI: update it, or use the CLI of its release"
        return Check("contracts", False, f"the server lacks {', '.join(lacking[:3])}{more}", fix)
    return Check("contracts", True, "the server knows all that this CLI does")


def lacks(served: Iterable[FileDescriptorProto], service: str) -> list[str]:
    """Methods of a service, and fields of their messages, that this program knows and the served files lack."""
    files = {file.name: file for file in served}
    ours = Default().FindServiceByName(service)
    theirs = files.get(ours.file.name, FileDescriptorProto())
    methods = {method.name for found in theirs.service if found.name == ours.name for method in found.method}
    missing = [f"{ours.name}.{method.name}" for method in ours.methods if method.name not in methods]
    messages = {message.name: {field.name for field in message.field} for message in theirs.message_type}
    for name, message in ours.file.message_types_by_name.items():
        missing += [f"{name}.{field.name}" for field in message.fields if field.name not in messages.get(name, ())]
    return missing


async def _served_files(client: Hardpoint, unit: str, service: str) -> list[FileDescriptorProto]:
    async def asked() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(file_containing_symbol=service)

    channel: Any = client.channel(unit)
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    async for answer in stub.ServerReflectionInfo(asked(), timeout=PATIENCE_SECONDS):
        return [FileDescriptorProto.FromString(file) for file in answer.file_descriptor_response.file_descriptor_proto]
    return []


_SERVING = health_pb2.HealthCheckResponse.SERVING


async def _health(client: Hardpoint, unit: str, service: str) -> int:
    stub: Any = health_pb2_grpc.HealthStub(client.channel(unit))
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE_SECONDS)
    return int(answer.status)


def _failed(unit: str, error: HardpointError) -> Check:
    return Check(unit, False, f"{error.message} [{error.reason}]", error.fix or "look into the server's log")


def _span(seconds: float) -> str:
    for length, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
