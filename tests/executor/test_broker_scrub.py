"""What comes out holds no secret, however it is spelled; what holds none comes out as it is."""

import base64
import contextlib
import hashlib
import json
import os
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.spellings import ENCODINGS, b64
from hardpoint_executor.broker.scrub import Scrubber, Unfit, Watched


def scrubber_of(values: dict[str, str]) -> Scrubber:
    return Scrubber(Watched(key, value) for key, value in values.items())


CANARY = "canary-7f3a9c51e2-do-not-sing"
FRAMES = [b"%s", b'{"before": "some text", "key": "%s", "after": [1, 2, 3]}', b"<p>%s</p>" + bytes(range(256)) * 9]


def assert_clean(scrubber: Scrubber, data: bytes) -> bool:
    """Whether the text came through, without the secret; False when it was refused as a whole."""
    try:
        scrubbed = scrubber.scrub(data)
    except Unfit:
        return False
    assert scrubber.found(scrubbed) is None
    for name, encode in ENCODINGS.items():
        assert encode(CANARY) not in scrubbed, name
    return True


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("frame", FRAMES, ids=["alone", "in JSON", "among bytes"])
def test_no_spelling_comes_through(name: str, frame: bytes) -> None:
    scrubber = scrubber_of({"KEY": CANARY, "OTHER": "nothing-of-the-kind"})
    data = frame.replace(b"%s", ENCODINGS[name](CANARY))
    assert scrubber.found(data) is not None
    assert_clean(scrubber, data)


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "swapped case",
        "lines",
        "base64",
        "base64 in lines",
        "hex in pairs",
        "JSON escapes",
        "base32",
        "utf-16 big",
    ],
)
def test_what_stands_in_the_text_is_cut_and_the_rest_stays(name: str) -> None:
    data = b"before; " + ENCODINGS[name](CANARY) + b"; after"
    scrubbed = scrubber_of({"KEY": CANARY}).scrub(data)
    assert scrubbed.startswith(b"before; ")
    assert scrubbed.endswith(b"; after")
    assert b"[secret KEY]" in scrubbed


@pytest.mark.parametrize("name", ["gzip", "gzip in base64", "zlib in hex", "base64 twice", "half percent-encoded"])
def test_what_cannot_be_cut_makes_the_whole_unfit(name: str) -> None:
    with pytest.raises(Unfit):
        scrubber_of({"KEY": CANARY}).scrub(b"before; " + ENCODINGS[name](CANARY) + b"; after")


values = st.from_regex(r"[ -~]{0,20}[A-Za-z0-9+/_.-]{8,150}", fullmatch=True).filter(
    lambda value: all(sum(c.isalnum() for c in end) >= 8 for end in (value[:45], value[-45:]))
)


@settings(max_examples=60, deadline=None)
@given(value=values, before=st.binary(max_size=50), after=st.binary(max_size=50), shift=st.integers(0, 3))
def test_any_value_is_found_in_the_common_spellings(value: str, before: bytes, after: bytes, shift: int) -> None:
    scrubber = scrubber_of({"KEY": value})
    raw = b"?" * shift + value.encode()
    for spelled in (value.encode(), b64(raw), raw.hex().encode(), base64.b32encode(raw), b64(zlib.compress(raw))):
        data = before + b"\n" + spelled + b"\n" + after
        assert scrubber.found(data) is not None
        with contextlib.suppress(Unfit):
            assert scrubber.found(scrubber.scrub(data)) is None


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=2000) | st.text(max_size=2000).map(str.encode))
def test_a_text_without_the_secret_is_not_changed(data: bytes) -> None:
    assert scrubber_of({"KEY": CANARY}).scrub(data) is data


def test_a_large_answer_without_the_secret_is_not_changed() -> None:
    scrubber = scrubber_of({"KEY": CANARY})
    for data in (os.urandom(1 << 20), b64(os.urandom(700_000)), b"%41" * 300_000, b64(b64(b"text " * 100_000))):
        assert scrubber.scrub(data) is data


def test_a_bomb_inside_an_answer_is_inflated_no_further_than_needed() -> None:
    bomb = zlib.compress(bytes(64 * 1024 * 1024)) * 4
    assert scrubber_of({"KEY": CANARY}).scrub(bomb) is bomb


def test_a_long_value_is_found_by_its_ends() -> None:
    value = "".join(f"line {n} of a long private key\n" for n in range(60))
    scrubber = scrubber_of({"KEY": value})
    assert scrubber.scrub(f"<{value}>".encode()) == b"<[secret KEY]>"
    assert scrubber.scrub(b"<" + b64(value) + b">").startswith(b"<[secret KEY]")
    for part in (value[:80], value[-80:]):
        for encoded in (part.encode(), b64(part), part.encode().hex().encode(), json.dumps(list(part)).encode()):
            with pytest.raises(Unfit):
                scrubber.scrub(encoded)


def test_short_values_are_cut_only_as_they_stand() -> None:
    scrubber = scrubber_of({"PIN": "1234", "NO": "abc"})
    assert scrubber.scrub(b"pin 1234, abc, 1-2-3-4") == b"pin [secret PIN], abc, 1-2-3-4"


def test_json_is_scrubbed_in_its_texts_and_names() -> None:
    value = {CANARY: [CANARY, 1, None, True, {"a": f"x{CANARY}"}]}
    scrubbed = scrubber_of({"KEY": CANARY}).scrub_json(value)
    assert scrubbed == {"[secret KEY]": ["[secret KEY]", 1, None, True, {"a": "x[secret KEY]"}]}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
def test_among_many_secrets_each_is_found_as_if_it_were_alone(encode: Callable[[str], bytes]) -> None:
    many = [Watched(f"K{number}", hashlib.sha256(bytes([number])).hexdigest()[:40]) for number in range(20)]
    scrubber, others = Scrubber(many), Scrubber(many[1:])
    for at in range(9):
        held = b"words " + b"x" * at + b" " + encode(many[0].value) + b" and more words"
        alone = Scrubber(many[:1]).found(held)
        assert scrubber.found(held) == alone
        assert others.found(held) is None
