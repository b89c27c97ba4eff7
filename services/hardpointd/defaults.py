"""What stands in on a laptop for what a cluster configures: an embedded PostgreSQL, a signing key, an encryption key.

Each default is used only where its option is not set.
"""

import base64
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hardpoint_kit.auth import DevKeys, Verifier
from hardpoint_kit.caller import SERVICE_ROLE
from hardpoint_kit.database import is_database_url
from hardpoint_kit.errors import InvalidArgument
from hardpoint_kit.options import PREFIX, Options
from hardpointd.options import DaemonOptions
from hardpointd.postgres import EmbeddedPostgres, ensure_database

SERVICE_TOKEN_SECONDS = 3600.0
OWN_ORG = "hardpoint"
DEV_ORG = "acme"
DEV_SUBJECT = "you"
DEV_TOKEN_SECONDS = 30 * 24 * 3600.0


class Laptop:
    """The defaults of one process; what they start is stopped by `stop`."""

    def __init__(self, options: DaemonOptions) -> None:
        self._options = options
        self._postgres = EmbeddedPostgres(options.state)
        self._postgres_runs = False

    async def start(self, units: Mapping[str, Options]) -> dict[str, Options]:
        """The units' options with every gap filled, and the database running if one of them needs it."""
        filled = {unit: await self._filled(unit, options) for unit, options in units.items()}
        if "door" in filled and "runtime" in filled and not getattr(filled["runtime"], "runtime_door_url", ""):
            door_url = f"http://{getattr(filled['door'], 'door_listen', '')}"
            filled["runtime"] = filled["runtime"].model_copy(update={"runtime_door_url": door_url})
        return filled

    async def stop(self) -> None:
        """Leave the embedded database, which stops when nobody else uses it."""
        if self._postgres_runs:
            await self._postgres.stop()

    def dev_keys(self) -> DevKeys:
        """The issuer of this machine's tokens."""
        return DevKeys(self._options.state / "keys", self._options.issuer, self._options.audience)

    def verifier(self) -> Verifier:
        """Verifies tokens against the configured JWKS, else against this machine's key."""
        jwks: str | dict[str, Any] = self._options.jwks or self.dev_keys().jwks()
        return Verifier(jwks, self._options.issuer, self._options.audience)

    def service_token(self, subject: str, role: str = SERVICE_ROLE) -> Callable[[], str]:
        """What this process shows to its peers: the configured file's content, else a token of this machine's key.

        Raises InvalidArgument when tokens are verified against another issuer's keys and no file is configured.
        """
        if self._options.service_token_file is not None:
            return self._options.service_token
        if self._options.jwks:
            raise InvalidArgument(
                f"{subject} calls other units, and has no token that they would believe",
                fix="set HARDPOINT_SERVICE_TOKEN_FILE to a file with a token of the issuer behind HARDPOINT_JWKS",
            )
        keys = self.dev_keys()
        minted: tuple[str, float] = ("", 0.0)

        def token() -> str:
            nonlocal minted
            if time.monotonic() > minted[1]:
                fresh = keys.mint(subject, OWN_ORG, [role], SERVICE_TOKEN_SECONDS)
                minted = (fresh, time.monotonic() + SERVICE_TOKEN_SECONDS / 2)
            return minted[0]

        return token

    async def _filled(self, unit: str, options: Options) -> Options:
        gaps: dict[str, Any] = {}
        url = f"{unit}_database_url"
        if url in type(options).model_fields:
            if not (given := getattr(options, url)):
                gaps[url] = await self._database_url(unit)
            elif not is_database_url(given):
                raise InvalidArgument(
                    {f"{PREFIX}{url.upper()}": "is no address of a PostgreSQL database"},
                    fix="write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or leave it out",
                )
        if unit == "config" and not getattr(options, "config_keys", "") and not getattr(options, "config_key_file", ""):
            gaps["config_key_file"] = key_encryption_key(self._options.state / "keys")
        return options.model_copy(update=gaps)

    async def _database_url(self, unit: str) -> str:
        if not self._postgres_runs:
            await self._postgres.start()
            self._postgres_runs = True
        return await ensure_database(self._postgres, f"hardpoint_{unit}")


def key_encryption_key(folder: Path) -> Path:
    """A 0600 file with the key that encrypts the secrets' keys, made when missing. Losing it loses the secrets."""
    path = folder / "key-encryption-keys"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        fresh = path.with_suffix(f".{os.getpid()}.new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"laptop:{base64.b64encode(secrets.token_bytes(32)).decode()}\n")
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass  # another starter was first; its key counts
        finally:
            fresh.unlink()
    return path
