"""What the shell offers at Tab: names from the server, if it answers at once; otherwise nothing, and no word of it."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import typer

from hardpoint_cli.session import collect

if TYPE_CHECKING:
    from hardpoint_client import Hardpoint

SECONDS = 1.0
Names = list[str]


def capabilities(incomplete: str) -> Names:
    """Ids of the org's own capabilities."""

    async def ask(client: "Hardpoint") -> Names:
        from hardpoint.registry.v1.registry_pb2 import ListCapabilitiesRequest

        request = ListCapabilitiesRequest(parent=client.org)
        return [found.name for found in await collect(client.registry.ListCapabilities, request, "capabilities")]

    return _asked(ask, incomplete)


def installations(incomplete: str) -> Names:
    """Ids of the org's installations."""

    async def ask(client: "Hardpoint") -> Names:
        from hardpoint.runtime.v1.installation_pb2 import ListInstallationsRequest

        request = ListInstallationsRequest(parent=client.org)
        return [found.name for found in await collect(client.installations.ListInstallations, request, "installations")]

    return _asked(ask, incomplete)


def agents(incomplete: str) -> Names:
    """Ids of the org's agents."""

    async def ask(client: "Hardpoint") -> Names:
        from hardpoint.runtime.v1.agent_pb2 import ListAgentsRequest

        request = ListAgentsRequest(parent=client.org)
        return [found.name for found in await collect(client.agents.ListAgents, request, "agents")]

    return _asked(ask, incomplete)


def actions(ctx: typer.Context, incomplete: str) -> Names:
    """What the agent on the command line may call."""

    async def ask(client: "Hardpoint") -> Names:
        return [tool.name for tool in await client.tools(ctx.params["agent"])]

    return _asked(ask, incomplete)


def _asked(ask: Callable[["Hardpoint"], Awaitable[Names]], incomplete: str) -> Names:
    import asyncio

    from hardpoint_cli.session import connect

    async def within() -> Names:
        async with asyncio.timeout(SECONDS), connect() as client:
            return await ask(client)

    try:
        found = asyncio.run(within())
    except Exception:
        # There is no place for an error between two key presses; the command itself will say what is wrong.
        return []
    return [short for name in found if (short := name.rpartition("/")[2]).startswith(incomplete)]
