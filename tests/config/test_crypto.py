"""Envelope encryption: what opens, what does not, and keyrings that cannot be used."""

import base64
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardpoint_config.crypto import Keyring, Sealed, load_keyring
from hardpoint_config.domain import SecretValue
from hardpoint_kit.errors import Internal, InvalidArgument, Unavailable
from hardpoint_kit.names import SecretName


def line(key_id: str) -> str:
    return f"{key_id}:{base64.b64encode(os.urandom(32)).decode()}"


ENCODED = base64.b64encode(bytes(range(32))).decode()
RING = Keyring.parse(line("k1"))
NAME = SecretName("acme", "token")
IDS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?", fullmatch=True)


@given(value=st.binary(min_size=1, max_size=200), org=IDS, secret=IDS, version=st.integers(1, 2**31))
def test_what_is_sealed_opens_for_its_name_and_version(value: bytes, org: str, secret: str, version: int) -> None:
    name = SecretName(org, secret)
    assert RING.open(name, version, RING.seal(name, version, SecretValue(value))).reveal() == value


@given(first=st.tuples(IDS, IDS, st.integers(1, 99)), second=st.tuples(IDS, IDS, st.integers(1, 99)))
def test_it_opens_for_no_other_name_or_version(first: tuple[str, str, int], second: tuple[str, str, int]) -> None:
    sealed = RING.seal(SecretName(*first[:2]), first[2], SecretValue(b"value"))
    if first != second:
        with pytest.raises(Internal):
            RING.open(SecretName(*second[:2]), second[2], sealed)


def test_parts_of_a_name_do_not_flow_into_each_other() -> None:
    sealed = RING.seal(SecretName("ab", "c"), 1, SecretValue(b"value"))
    with pytest.raises(Internal):
        RING.open(SecretName("a", "bc"), 1, sealed)


@pytest.mark.parametrize("part", ["wrapped_key", "ciphertext"])
@given(data=st.data())
def test_one_altered_bit_anywhere_is_noticed(part: str, data: st.DataObject) -> None:
    sealed = RING.seal(NAME, 1, SecretValue(b"value"))
    stored = bytearray(getattr(sealed, part))
    stored[data.draw(st.integers(0, len(stored) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    altered: dict[str, Any] = {part: bytes(stored)}
    with pytest.raises(Internal):
        RING.open(NAME, 1, replace(sealed, **altered))


def test_a_row_made_of_two_values_of_one_secret_does_not_open() -> None:
    first, second = (RING.seal(NAME, 1, SecretValue(value)) for value in (b"one", b"two"))
    with pytest.raises(Internal):
        RING.open(NAME, 1, Sealed("k1", first.wrapped_key, second.ciphertext))


def test_a_wrapped_key_is_no_value() -> None:
    sealed = RING.seal(NAME, 1, SecretValue(b"value"))
    with pytest.raises(Internal):
        RING.open(NAME, 1, Sealed("k1", sealed.ciphertext, sealed.wrapped_key))


def test_nothing_is_sealed_twice_alike() -> None:
    sealed = [RING.seal(NAME, 1, SecretValue(b"value")) for _ in range(10)]
    assert len({one.ciphertext for one in sealed}) == len({one.wrapped_key for one in sealed}) == 10


def test_the_newest_key_seals_and_older_ones_still_open() -> None:
    old, new = line("2025"), line("2026")
    sealed = Keyring.parse(old).seal(NAME, 1, SecretValue(b"value"))
    both = Keyring.parse(f"{new}\n{old}\n")
    assert both.open(NAME, 1, sealed).reveal() == b"value"
    assert both.seal(NAME, 1, SecretValue(b"value")).key_id == "2026"
    assert both.missing(["2025", "2024"]) == ["2024"]


def test_a_key_that_is_not_loaded_is_named() -> None:
    sealed = Keyring.parse(line("lost")).seal(NAME, 1, SecretValue(b"value"))
    with pytest.raises(Unavailable, match="lost"):
        RING.open(NAME, 1, sealed)


def test_a_fingerprint_tells_values_apart_and_needs_the_key() -> None:
    assert RING.fingerprint(SecretValue(b"a")) == RING.fingerprint(SecretValue(b"a"))
    assert RING.fingerprint(SecretValue(b"a")) != RING.fingerprint(SecretValue(b"b"))
    assert RING.fingerprint(SecretValue(b"a")) != Keyring.parse(line("k1")).fingerprint(SecretValue(b"a"))


@pytest.mark.parametrize("text", ["k1", "k1:", "k1:AAAA", "k1:????????", f":{ENCODED}", f"k1:{ENCODED} k1:{ENCODED}"])
def test_malformed_keys_are_refused_without_being_shown(text: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        Keyring.parse(text)
    assert not any(shown in str(refused.value) for shown in ("AAAA", "????", ENCODED))


def test_a_file_that_only_its_owner_reads_is_read(tmp_path: Path) -> None:
    file = tmp_path / "config.keys"
    file.write_text(f"{line('k2')}\n{line('k1')}\n")
    file.chmod(0o600)
    ring = load_keyring(file, "")
    assert ring.problem == ""
    assert ring.seal(NAME, 1, SecretValue(b"value")).key_id == "k2"


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        (f"k1:{ENCODED}".encode(), 0o640, "chmod 600"),
        (f"k1:{ENCODED}".encode(), 0o604, "chmod 600"),
        (b"", 0o600, "openssl rand"),
        (b"\xff\xfe", 0o600, "something else than keys"),
        (b"k1:AAAA", 0o600, "key 1 is not"),
        (None, 0, "No such file"),
    ],
)
def test_a_keyring_without_keys_says_why_and_what_to_do(
    tmp_path: Path, content: bytes | None, mode: int, problem: str
) -> None:
    file = tmp_path / "config.keys"
    if content is not None:
        file.write_bytes(content)
        file.chmod(mode)
    ring = load_keyring(file, "")
    assert problem in ring.problem
    for use in (lambda: ring.seal(NAME, 1, SecretValue(b"value")), lambda: ring.fingerprint(SecretValue(b"value"))):
        with pytest.raises(Unavailable):
            use()
