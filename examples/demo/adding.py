"""From a file of the examples to actions that an agent calls: what an organisation does, in the order it does it."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from demo.screen import console, say_done, show_error
from hardpoint.registry.v1 import registry_pb2
from hardpoint.runtime.v1 import installation_pb2
from hardpoint_client import Agent, Hardpoint
from hardpoint_kit.errors import InvalidArgument
from hardpoint_manifest.check import check
from hardpoint_manifest.finding import apply_patch
from hardpoint_manifest.load import load

EXAMPLES = Path(__file__).parents[1]


async def add_capability(
    client: Hardpoint,
    agent: Agent,
    filename: str,
    *,
    data: bytes | None = None,
    secrets: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Upload, publish, install with what it asks, set its secrets and settings, attach: from a file to actions."""
    started = time.monotonic()
    pushed = await client.push(data or (EXAMPLES / filename).read_bytes(), filename)
    release = await client.publish(pushed.release.name)
    if release.state != registry_pb2.RELEASE_STATE_PUBLISHED:
        raise RuntimeError(f"{release.name} was rejected: {release.findings}")
    capability = release.name.partition("/releases/")[0]
    installation = await client.install(capability, grants=release.manifest.authority)
    installation_id = installation.name.rpartition("/")[2]
    for key, value in (secrets or {}).items():
        await client.set_secret(installation_id, key, value)
    if settings:
        await client.set_settings(installation_id, settings)
    await client.attach(agent.id, installation_id)
    named = release.name.removeprefix(f"{client.org}/capabilities/")
    say_done(f"{named} published, installed, attached", time.monotonic() - started)
    _say_authority(installation, secrets or {}, settings or {})


async def patched(client: Hardpoint, filename: str) -> bytes:
    """Push a file that the checks refuse, show why, and apply the patches that they suggest."""
    data = (EXAMPLES / filename).read_bytes()
    try:
        await client.push(data, filename)
    except InvalidArgument as error:
        show_error(error)
    document = load(data, filename)
    repaired = document.data
    for finding in check(document).findings:
        for operation in finding.patch:
            console.print(f"  [dim]patch[/] {operation.op} {operation.path} {json.dumps(operation.value)}")
        repaired = apply_patch(repaired, finding.patch)
    return yaml.safe_dump(repaired, allow_unicode=True, sort_keys=False).encode()


def _say_authority(
    installation: installation_pb2.Installation, secrets: Mapping[str, str], settings: Mapping[str, Any]
) -> None:
    grants = ", ".join([*sorted(installation.grants.permissions), *sorted(installation.grants.hosts)])
    given = [f"granted: {grants}"] if grants else []
    given += [f"{word}: {', '.join(keys)}" for word, keys in (("secret", secrets), ("setting", settings)) if keys]
    console.print(f"    [dim]{'; '.join(given)}[/]")
