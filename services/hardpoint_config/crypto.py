"""Owns envelope encryption of secret values: a data key for each version of a secret, wrapped by a key of the unit.

A sealed value opens only for the secret and version it was sealed for, because their names are authenticated with it:
a row that was moved to another secret, org or version does not open. What belongs to a connection opens only for its
provider's token endpoint, so that no altered row sends it elsewhere. Calls nobody.
"""

import base64
import binascii
import hmac
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hardpoint_config.domain import SecretValue
from hardpoint_kit.errors import HardpointError, Internal, InvalidArgument, Unavailable
from hardpoint_kit.names import ConnectionName, SecretName

KEY_BYTES = 32
NONCE_BYTES = 12
_MAKE_KEY = '(umask 077; echo "k1:$(openssl rand -base64 32)" > config.keys)'


@dataclass(frozen=True, slots=True)
class Held:
    """What is sealed for a connection: its tokens, or one sign-in that is under way; good at one token endpoint."""

    connection: ConnectionName
    what: str
    token_url: str

    def __str__(self) -> str:
        return f"{self.connection} ({self.what})"


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted value, with its data key wrapped by the key `key_id`."""

    key_id: str
    wrapped_key: bytes
    ciphertext: bytes


class Keyring:
    """The unit's key-encryption keys by id: the newest seals, each opens what it sealed.

    Without keys every use raises Unavailable with `problem`, which says why there are none.
    """

    def __init__(self, keys: Mapping[str, bytes], problem: str = "") -> None:
        self._keys = dict(keys)
        self.problem = problem

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read keys written as `id:base64`, newest first, with white space between; raises InvalidArgument."""
        keys: dict[str, bytes] = {}
        for position, entry in enumerate(text.split(), start=1):
            key_id, _, encoded = entry.partition(":")
            try:
                key = base64.b64decode(encoded, validate=True)
            except binascii.Error:
                key = b""
            if not key_id or len(key) != KEY_BYTES:
                raise InvalidArgument(f"key {position} is not an id, a colon and {KEY_BYTES} bytes in base64")
            if key_id in keys:
                raise InvalidArgument(f'two keys have the id "{key_id}"')
            keys[key_id] = key
        if not keys:
            raise InvalidArgument("there is no key that encrypts secrets")
        return cls(keys)

    def missing(self, key_ids: Iterable[str]) -> list[str]:
        """Return those of the ids that no loaded key has."""
        return sorted(set(key_ids) - self._keys.keys())

    def seal(self, secret: SecretName | Held, version: int, value: SecretValue) -> Sealed:
        """Encrypt a value under a data key of its own."""
        key_id = self._newest()
        data_key = AESGCM.generate_key(bit_length=8 * KEY_BYTES)
        return Sealed(
            key_id=key_id,
            wrapped_key=_encrypt(self._keys[key_id], data_key, _about("key", secret, version)),
            ciphertext=_encrypt(data_key, value.reveal(), _about("value", secret, version)),
        )

    def open(self, secret: SecretName | Held, version: int, sealed: Sealed) -> SecretValue:
        """Decrypt what was sealed for this version of this secret.

        Raises Unavailable when its key is not loaded, Internal when it was not sealed with that key, or for another
        secret or version, or was altered since.
        """
        self._newest()
        if sealed.key_id not in self._keys:
            raise Unavailable(
                f'secret "{secret}" is sealed with the key "{sealed.key_id}", which is not loaded',
                fix="add that key to the end of HARDPOINT_CONFIG_KEY_FILE",
            )
        try:
            data_key = _decrypt(self._keys[sealed.key_id], sealed.wrapped_key, _about("key", secret, version))
            return SecretValue(_decrypt(data_key, sealed.ciphertext, _about("value", secret, version)))
        except InvalidTag:
            raise Internal(
                f'secret "{secret}" does not open: the key "{sealed.key_id}" changed, or the stored row did',
                fix="load the key it was sealed with, or give the secret a new value",
            ) from None

    def fingerprint(self, value: SecretValue) -> str:
        """Tell a value from all others without giving a reader of the database a way to guess it."""
        key = HKDF(SHA256(), KEY_BYTES, salt=None, info=b"hardpoint.config.fingerprint").derive(
            self._keys[self._newest()]
        )
        return hmac.digest(key, value.reveal(), "sha256").hex()

    def _newest(self) -> str:
        if self.problem:
            raise Unavailable(self.problem, fix="the operator of this deployment can put it right")
        return next(iter(self._keys))


def load_keyring(file: Path | None, text: str) -> Keyring:
    """Read the keys from a file that only its owner reads, else from `text`; one without keys says what to do."""
    try:
        return Keyring.parse(text if file is None else _read(file))
    except HardpointError as error:
        where = f" in {file}" if file else ""
        fix = error.fix or f"make a key with {_MAKE_KEY} and set HARDPOINT_CONFIG_KEY_FILE to that file"
        return Keyring({}, problem=f"secrets cannot be used: {error.message}{where}; {fix}, then start again")


def _read(file: Path) -> str:
    try:
        if file.stat().st_mode & 0o077:
            raise InvalidArgument("others can read the keys", fix=f"run chmod 600 {file}")
        return file.read_text("ascii")
    except OSError as error:
        raise InvalidArgument(f"the keys cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidArgument("there is something else than keys") from None


def _about(what: str, secret: SecretName | Held, version: int) -> bytes:
    """Write whose ciphertext it is so that no two answers are alike: each part goes after its length."""
    if isinstance(secret, Held):
        name = secret.connection
        whose: tuple[str, ...] = ("connection", name.org, name.connection, secret.what, secret.token_url)
    else:
        whose = (secret.org, secret.secret)
    parts = ("hardpoint.config", what, *whose, str(version))
    return b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)


def _encrypt(key: bytes, plain: bytes, about: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, about)


def _decrypt(key: bytes, sealed: bytes, about: bytes) -> bytes:
    return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about)
