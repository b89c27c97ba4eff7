"""Owns what is sealed of a connection: its client's secret and its tokens together, and what a sign-in needs to end.

What is sealed opens only for the token endpoint that it was sealed for: who alters a row has it sent nowhere else.
"""

import hashlib
import json
from dataclasses import dataclass

from hardpoint_config.connection import Client, Connection, SignIn, Tokens
from hardpoint_config.connection_rows import SealedSignIn
from hardpoint_config.crypto import Held, Keyring, Sealed
from hardpoint_config.domain import SecretValue


@dataclass(frozen=True, slots=True)
class Kept:
    """What is sealed of a connection; None is what the provider or the client has not given."""

    client_secret: SecretValue | None
    access: SecretValue | None
    refresh: SecretValue | None


class Sealing:
    """Seals and opens with the keys of a keyring."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def seal(self, connection: Connection, secret: SecretValue | None, tokens: Tokens | None) -> Sealed:
        """Seal the client's secret, and tokens where there are any."""
        kept = {"client_secret": secret}
        if tokens:
            kept |= {"access_token": tokens.access, "refresh_token": tokens.refresh}
        return self._keyring.seal(_held(connection, _tokens(connection)), connection.version, _packed(kept))

    def open(self, connection: Connection, sealed: Sealed) -> Kept:
        """Open what is kept of a connection."""
        kept = _unpacked(self._keyring.open(_held(connection, _tokens(connection)), connection.version, sealed))
        return Kept(kept.get("client_secret"), kept.get("access_token"), kept.get("refresh_token"))

    def seal_sign_in(self, connection: Connection, state: str, sign_in: SignIn) -> SealedSignIn:
        """Seal what the end of a sign-in needs, for whoever comes back with its state."""
        kept = {"verifier": sign_in.verifier, "client_secret": sign_in.client.secret}
        sealed = self._keyring.seal(_held(connection, _of_state(connection, state)), 1, _packed(kept))
        return SealedSignIn(sign_in.redirect_uri, sign_in.client.id, sealed)

    def open_sign_in(self, connection: Connection, state: str, stored: SealedSignIn) -> SignIn:
        """Open a sign-in that was begun."""
        kept = _unpacked(self._keyring.open(_held(connection, _of_state(connection, state)), 1, stored.sealed))
        return SignIn(stored.redirect_uri, Client(stored.client_id, kept.get("client_secret")), kept["verifier"])


def state_hash(state: str, *, own: bool = False) -> bytes:
    """What is stored of a state: who reads the table cannot come back with it.

    What a person began for themselves is never found as what was begun for the org, nor the other way round.
    """
    return hashlib.sha256(f"{'own ' if own else ''}{state}".encode()).digest()


def _of_state(connection: Connection, state: str) -> str:
    return state_hash(state, own=bool(connection.owner)).hex()


def _tokens(connection: Connection) -> str:
    return f"tokens of {connection.owner}" if connection.owner else "tokens"


def _held(connection: Connection, what: str) -> Held:
    return Held(connection.name, what, connection.provider.token_url)


def _packed(kept: dict[str, SecretValue | None]) -> SecretValue:
    shown = {key: value.reveal().decode() if value else None for key, value in kept.items()}
    return SecretValue(json.dumps(shown).encode())


def _unpacked(plain: SecretValue) -> dict[str, SecretValue]:
    return {key: SecretValue(value.encode()) for key, value in json.loads(plain.reveal()).items() if value}
