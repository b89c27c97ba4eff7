"""Owns how config is put together: its options, and what it opens and closes."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import Field, SecretStr

from hardpoint.audit.v1.audit_pb2_grpc import add_AuditServiceServicer_to_server
from hardpoint.config.v1.config_pb2_grpc import add_ConfigServiceServicer_to_server
from hardpoint_config.changes import Changes
from hardpoint_config.connection_rows import forget_sign_ins
from hardpoint_config.connections import Connections
from hardpoint_config.crypto import Keyring, Sealed, load_keyring
from hardpoint_config.links import Links
from hardpoint_config.oauth import Providers
from hardpoint_config.people import People
from hardpoint_config.revoking import Revoking
from hardpoint_config.rpc import ConfigRpc
from hardpoint_config.sealing import Sealing
from hardpoint_config.service import ConfigService
from hardpoint_config.store import Store
from hardpoint_kit import options
from hardpoint_kit.audit import AuditRpc
from hardpoint_kit.caller import ANY_ORG
from hardpoint_kit.database import Database, migrate
from hardpoint_kit.dial import parse_aliases
from hardpoint_kit.errors import HardpointError
from hardpoint_kit.names import SecretName
from hardpoint_kit.platform import Platform
from hardpoint_kit.retention import Retention, Term, common_terms
from hardpoint_kit.unit import Unit


class Options(options.Options):
    """What config can be told."""

    config_database_url: str = ""
    """PostgreSQL of this unit alone. LISTEN must work on it: not through a pooler that shares connections."""
    config_key_file: Path | None = None
    """File, mode 0600, of the keys that encrypt secrets: lines `id:base64 of 32 bytes`, newest first."""
    config_keys: SecretStr = SecretStr("")
    """The same keys as text, for where no file can be given."""
    config_lease_seconds: int = Field(default=300, ge=1)
    """How long a lease lasts."""
    config_host_aliases: dict[str, str] = {}
    """For tests and demonstrations: a host's name to a loopback host:port that stands in for it, over plain http."""


def build(options: Options, platform: Platform) -> Unit:
    """Put the unit together; nothing is opened before its start."""
    keyring = load_keyring(options.config_key_file, options.config_keys.get_secret_value())
    database = Database(options.config_database_url)
    store = Store(database)
    changes = Changes(options.config_database_url)
    providers = Providers(platform.clock, parse_aliases(options.config_host_aliases))
    connections = Connections(store, keyring, providers, platform.clock)
    links = Links(store, connections, platform.clock)
    people = People(store, connections, links, platform.clock)
    revoking = Revoking(store, Sealing(keyring), providers, platform.clock)
    service = ConfigService(
        store=store,
        keyring=keyring,
        changes=changes,
        clock=platform.clock,
        lease_time=timedelta(seconds=options.config_lease_seconds),
        connections=connections,
        people=people,
        links=links,
    )
    abandoned = Term("sign-ins that nobody ended", 0, forget_sign_ins)
    retention = Retention(database, platform.clock, (*common_terms(options), abandoned))
    life = _Life(options.config_database_url, database, store, keyring, changes, retention, connections, revoking)
    return Unit(
        name="config",
        services=[
            (add_ConfigServiceServicer_to_server, ConfigRpc(service, connections, people)),
            (add_AuditServiceServicer_to_server, AuditRpc(database)),
        ],
        start=life.start,
        drain=life.drain,
        stop=life.stop,
        ready=life.reasons_not_ready,
    )


@dataclass(slots=True)
class _Life:
    """What the unit stands on."""

    url: str
    database: Database
    store: Store
    keyring: Keyring
    changes: Changes
    retention: Retention
    connections: Connections
    revoking: Revoking
    problems: tuple[str, ...] = ()

    async def start(self) -> None:
        await migrate(self.url, "hardpoint_config")
        self.problems = await self._problems_with_keys()
        await self.changes.start()
        await self.retention.start()
        await self.revoking.start()

    async def drain(self) -> None:
        await self.changes.stop()

    async def stop(self) -> None:
        await self.revoking.stop()
        await self.retention.stop()
        await self.changes.stop()
        await self.connections.close()
        await self.database.close()

    async def reasons_not_ready(self) -> list[str]:
        return [*self.problems, *await self.database.reasons_not_ready(), *self.changes.reasons_not_ready()]

    async def _problems_with_keys(self) -> tuple[str, ...]:
        if self.keyring.problem:
            return (self.keyring.problem,)
        async with self.store.transaction(ANY_ORG) as tx:
            missing = self.keyring.missing(await tx.key_ids())
            sealed = await tx.newest_sealed()
        other = [each.key_id for name, version, each in sealed if not self._opens(name, version, each)]
        changed = sorted(set(other) - set(missing))
        said = {
            "secrets are sealed with keys that are not loaded: {}; add them to the key file": missing,
            "secrets do not open with the keys {}, which are others of the same name; load those of before": changed,
        }
        return tuple(words.format(", ".join(keys)) for words, keys in said.items() if keys)

    def _opens(self, name: SecretName, version: int, sealed: Sealed) -> bool:
        try:
            self.keyring.open(name, version, sealed)
        except HardpointError:
            return False
        return True
