"""The last door before the public internet: connections to hosts that others name are dialled here, to an address that
was checked.

A name is resolved once and connected by the address found, so an answer that changes between check and use cannot
matter. Loopback is reached only through an alias that the operator wrote down.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address

import structlog

from hardpoint_kit.address import public_address

log = structlog.get_logger(__name__)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Host name and port to every address of the name, in the order to try; raises OSError when there is none."""

RESOLVE_SECONDS = 2.0
CONNECT_SECONDS = 2.0
MAX_ADDRESSES_TRIED = 3


@dataclass(frozen=True, slots=True)
class Alias:
    """A loopback port that stands in for a host, over plain http."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


def parse_aliases(table: Mapping[str, str]) -> dict[str, Alias]:
    """Read `{"api.example.com": "127.0.0.1:8081"}`; raises ValueError for anything that is not loopback and a port."""
    aliases: dict[str, Alias] = {}
    for host, place in table.items():
        address, _, port = place.removeprefix("http://").rstrip("/").rpartition(":")
        if not (address and ip_address(address.strip("[]")).is_loopback and port.isdecimal()):
            raise ValueError(f"host alias {host} must name a loopback address and a port, not {place!r}")
        aliases[host.lower()] = Alias(address.strip("[]"), int(port))
    return aliases


class NotDialled(Exception):
    """A host that was not connected to; `reason` is UPSTREAM_UNREACHABLE or ADDRESS_NOT_PUBLIC."""

    def __init__(self, reason: str, message: str, fix: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.fix = fix


class Resolver:
    """The system's resolver on threads of its own, so that slow names hold up nothing but other names."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> list[str]:
        """Every address of the absolute name `host`: search domains of the machine are not tried."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(f"{host}.", port, type=socket.SOCK_STREAM)
        )
        return [str(address[0]) for *_, address in found]

    def close(self) -> None:
        """Let the threads end; a lookup under way is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class GuardedDialler:
    """Connects to public addresses and to aliases, and to nothing else."""

    def __init__(self, resolve: Resolve, aliases: Mapping[str, Alias]) -> None:
        self._resolve = resolve
        self._aliases = aliases

    async def check(self, host: str, port: int) -> None:
        """Refuse what `connect` would not dial, without dialling it; raises NotDialled."""
        if host not in self._aliases:
            await self._public_addresses(host, port)

    async def connect(self, host: str, port: int) -> Streams:
        """Resolve `host` once, refuse it unless every address is public, and connect to one of those addresses.

        Raises NotDialled.
        """
        if alias := self._aliases.get(host):
            addresses, port = [alias.address], alias.port
        else:
            addresses = await self._public_addresses(host, port)
        refused: Exception | None = None
        for address in addresses[:MAX_ADDRESSES_TRIED]:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await asyncio.open_connection(address, port)
            except OSError as error:  # a TimeoutError is one
                refused = error
        raise unreachable(host) from refused

    async def _public_addresses(self, host: str, port: int) -> list[str]:
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                addresses = await self._resolve(host, port)
        except TimeoutError:
            raise NotDialled(
                "UPSTREAM_UNREACHABLE",
                f"host {host} could not be looked up within {RESOLVE_SECONDS:g} s",
                "try again later",
            ) from None
        except OSError:
            raise NotDialled(
                "UPSTREAM_UNREACHABLE", f"host {host} has no address", "correct the name of the host"
            ) from None
        inside = [address for address in addresses if not public_address(address)]
        if inside or not addresses:
            # Which address it is concerns the operator; to the capability it would be a map of our network.
            log.warning("host resolves to an address that is not public", host=host, addresses=inside)
            raise NotDialled(
                "ADDRESS_NOT_PUBLIC",
                f"host {host} resolves to an address that is not public",
                "use a host that is on the public internet",
            )
        return addresses


def unreachable(host: str) -> NotDialled:
    """The denial for a host that does not accept a connection, or drops it."""
    return NotDialled("UPSTREAM_UNREACHABLE", f"host {host} cannot be reached", "try again later")
