"""The connection of one command."""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hardpoint_client import Hardpoint

LARGEST_PAGE = 200
ANOTHER_LOGIN = "set HARDPOINT_TOKEN to a new one; on this machine `hardpointd token` prints one"
_LISTED = {
    "agents": "hardpoint agent list",
    "attachments": "hardpoint attachment list {parent}",
    "capabilities": "hardpoint search --mine",
    "connections": "hardpoint installed",
    "files": "hardpoint file list",
    "installations": "hardpoint installed",
    "releases": "hardpoint show {parent}",
    "runs": "hardpoint runs",
    "secrets": "hardpoint secret list",
    "triggers": "hardpoint trigger list {parent}",
}
"""The commands that list what there is, by collection; `parent` is what the resource is in."""
_LOST = re.compile("Stream removed|Socket closed|recvmsg|sendmsg|GOAWAY")
"""What the transport says of a connection that there was."""
_OFFERED = {"capabilities", "releases", "listings"}


@asynccontextmanager
async def connect() -> AsyncIterator["Hardpoint"]:
    """A client for the caller's org; a server that does not answer becomes an error that says what to do."""
    # The transport reports what a call raises anyway, on stderr and in words for its own developers.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from hardpoint_client import Hardpoint
    from hardpoint_kit.errors import DeadlineExceeded, NotFound, Unauthenticated, Unavailable, Unimplemented

    async with Hardpoint.connect() as client:
        try:
            yield client
        except (Unavailable, DeadlineExceeded) as error:
            if error.from_transport and _LOST.match(error.message):
                error.message = "the server was lost during the call"
                error.fix = "it may have been done all the same: when the server is back, look before you repeat it"
                raise
            if error.from_peer and (places := client.unreachable()):
                raise nobody_at(places) from error
            raise
        except Unauthenticated as error:
            error.fix = ANOTHER_LOGIN
            raise
        except NotFound as error:
            error.fix = error.fix or where_listed(error.metadata.get("resource", ""), client.org)
            raise
        except Unimplemented as error:
            error.fix = error.fix or "the server does not offer this, or is no Hardpoint server: see `hardpoint doctor`"
            raise


def nobody_at(places: tuple[str, ...]) -> Exception:
    """The error of a server that does not answer."""
    from hardpoint_kit.errors import Unavailable

    return Unavailable(
        f"no server answers at {', '.join(places)}",
        fix="start one with `make up`, or set HARDPOINT_ADDRESS to its host:port; `hardpoint doctor` tells more",
    )


def where_listed(resource: str, own: str) -> str:
    """Where to look for a resource that is not found; own is "orgs/{org}"."""
    *_, parent, collection, _id = ("", "", *resource.split("/"))
    if not resource.startswith(f"{own}/"):
        return "`hardpoint search` shows what others offer" if collection in _OFFERED else ""
    listing = _LISTED.get(collection, "")
    return f"`{listing.format(parent=parent)}` shows which there are" if listing else ""


async def collect(method: Any, request: Any, field: str, limit: int | None = None) -> list[Any]:
    """The items of a paged list, all of them or the first `limit`."""
    items: list[Any] = []
    request.page_size = min(limit or LARGEST_PAGE, LARGEST_PAGE)
    while True:
        page = await method(request)
        items.extend(getattr(page, field))
        request.page_token = page.next_page_token
        if not request.page_token or (limit and len(items) >= limit):
            return items[:limit]
