"""Where the server is and as whom to ask it: given, from the environment, or what `make up` left on this machine."""

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from hardpoint_kit.errors import Unauthenticated
from hardpoint_kit.state import default_state_folder

UNITS = ("config", "registry", "marketplace", "files", "executor", "runtime")


@dataclass(frozen=True, slots=True)
class Login:
    """An address (host:port) and a token; the representation leaves the token out.

    `addresses` names units that are served elsewhere than at `address`.
    """

    address: str
    token: str
    addresses: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Login({self.address})"

    @property
    def claims(self) -> dict[str, Any]:
        """What the token says, unverified: the server decides; raises Unauthenticated when it names no org."""
        try:
            payload = self.token.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            return {**claims, "org": str(claims["org"])}
        except (IndexError, ValueError, KeyError, TypeError):
            raise Unauthenticated("the token names no org", fix="use a token of Hardpoint's issuer") from None

    @property
    def org(self) -> str:
        """The org that the token is for."""
        return str(self.claims["org"])

    def address_of(self, unit: str) -> str:
        """Where a unit is served."""
        return self.addresses.get(unit) or self.address

    @classmethod
    def find(cls, address: str = "", token: str = "") -> Self:
        """What is given, else HARDPOINT_ADDRESS and HARDPOINT_TOKEN, else this machine's own server.

        HARDPOINT_CONFIG_ADDRESS and the like name single units, for a server without one address for all. This
        machine's own token is shown to its own server only. Raises Unauthenticated when no token is to be found.
        """
        address = address or os.environ.get("HARDPOINT_ADDRESS", "")
        token = (token or os.environ.get("HARDPOINT_TOKEN", "")).strip()
        named = {unit: os.environ.get(f"HARDPOINT_{unit.upper()}_ADDRESS", "") for unit in UNITS}
        addresses = {unit: place for unit, place in named.items() if place}
        own = _left_by_server(default_state_folder() / "login.json")
        if len(addresses) < len(UNITS):
            address = address or own.get("address", "")
        reached = {addresses.get(unit) or address for unit in UNITS}
        if "" in reached:
            raise Unauthenticated(
                "no server to talk to", fix="start one with `make up`, or set HARDPOINT_ADDRESS and HARDPOINT_TOKEN"
            )
        if reached == {own.get("address")}:
            token = token or own.get("token", "")
        if not token:
            raise Unauthenticated(f"no token for {', '.join(sorted(reached))}", fix="set HARDPOINT_TOKEN")
        if not (token.isascii() and token.isprintable()):
            raise Unauthenticated("the token is not printable ASCII", fix="set HARDPOINT_TOKEN to the token alone")
        return cls(address, token, addresses)


def _left_by_server(file: Path) -> dict[str, str]:
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return {}
