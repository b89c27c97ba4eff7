"""From a path in a release to the line of the file that its author pushed."""

import re

from hardpoint.registry.v1 import registry_pb2
from hardpoint_client import Hardpoint
from hardpoint_manifest.document import Document
from hardpoint_manifest.finding import ManifestError, Path
from hardpoint_manifest.load import MAX_BYTES, language, load, load_code

READ_SECONDS = 30.0
_PART = re.compile(r"\[(?P<index>\d+)\]|(?P<name>[^.\[\]]+)")
_ACTIONS = ("actions", "endpoints")


async def source_of(client: Hardpoint, release: registry_pb2.Release) -> bytes:
    """The bytes of a release's file; raises NotFound for one that the caller may not see."""
    asked = registry_pb2.CreateArtifactTicketRequest(release=release.name)
    ticket = await client.artifacts.CreateArtifactTicket(asked)
    request = registry_pb2.ReadArtifactRequest(digest=release.artifact.digest, ticket=ticket.ticket)
    source = b""
    async for part in client.artifacts.ReadArtifact(request, timeout=READ_SECONDS):
        source += part.chunk
        if len(source) > MAX_BYTES:
            break
    return source


def line_of(source: bytes, release: registry_pb2.Release, path: str, action: str, place: str) -> str:
    """Where `path` stands, or the nearest part around it; without a path, the `place` in the action with this id.

    Empty when the file has no such part.
    """
    filename = release.artifact.filename
    try:
        document = _document(source, release)
    except ManifestError:
        return ""
    whole = _parts(path)
    around = [whole[:length] for length in range(len(whole), len(document.root), -1)]
    wanted = around if path else _candidates(document, action, _parts(place))
    for whole in wanted:
        if whole in document.places:
            line, column = document.places[whole]
            return f"{filename}:{line}:{column}"
    return ""


def _document(source: bytes, release: registry_pb2.Release) -> Document:
    filename = release.artifact.filename
    if language(filename) is None:
        return load(source, filename)
    manifest = release.manifest
    header = {
        "permissions": list(manifest.authority.permissions),
        "hosts": list(manifest.authority.hosts),
        "config": {requirement.key: {"hosts": list(requirement.hosts)} for requirement in manifest.requirements},
    }
    return load_code(source, filename, header)


def _candidates(document: Document, action: str, place: Path) -> list[Path]:
    """Where what an action calls `response_mapping.temperature` may stand."""
    root = document.root
    found: list[Path] = []
    for field in _ACTIONS:
        for index, one in enumerate(document.value((*root, field)) or ()):
            if isinstance(one, dict) and one.get("id") == action:
                found += [(*root, field, index, *place), (*root, field, index, "integration", *place)]
    return [*found, (*root, "integration", *place)]


def _parts(text: str) -> Path:
    return tuple(int(part["index"]) if part["index"] else part["name"] for part in _PART.finditer(text))
