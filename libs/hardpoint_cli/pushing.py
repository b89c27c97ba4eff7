"""Making a draft of a checked file, in the place of an unpublished release of the same version."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hardpoint.registry.v1 import registry_pb2
from hardpoint_kit.errors import AlreadyExists

if TYPE_CHECKING:
    from hardpoint_cli.findings import Checked
    from hardpoint_client import Hardpoint

_REPLACEABLE = {registry_pb2.RELEASE_STATE_DRAFT, registry_pb2.RELEASE_STATE_REJECTED}


async def push_draft(
    client: "Hardpoint",
    checked: "Checked",
    visibility: registry_pb2.Visibility = registry_pb2.VISIBILITY_UNSPECIFIED,
    cassettes: Mapping[str, bytes] | None = None,
) -> tuple[registry_pb2.CreateReleaseResponse, bool]:
    """Push a file, and tell whether a draft of its version that had other bytes gave way to it.

    A release that was published never does: raises AlreadyExists. `cassettes` are those of its examples, by name.
    """
    from hardpoint_client.client import new_request_id

    async def push() -> registry_pb2.CreateReleaseResponse:
        return await client.push(
            checked.data, checked.file.name, visibility=visibility, header=checked.header, cassettes=cassettes
        )

    try:
        return await push(), False
    except AlreadyExists as error:
        other = error.metadata.get("release", "")
        if error.reason != "RELEASE_EXISTS" or not other:
            raise
        state = (await client.registry.GetRelease(registry_pb2.GetReleaseRequest(name=other))).state
        if state not in _REPLACEABLE:
            raise
        request = registry_pb2.DeleteReleaseRequest(name=other, request_id=new_request_id())
        await client.registry.DeleteRelease(request)
        return await push(), True
