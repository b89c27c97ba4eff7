"""Frames from a jail are checked before they are believed."""

import asyncio
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardpoint_executor.jail import frames

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_was_encoded_is_parsed_again(value: object) -> None:
    encoded = frames.encode({"result": {"value": value}})
    assert int.from_bytes(encoded[:4], "big") == len(encoded) - 4
    assert frames.parse(encoded[4:]) == ("result", {"value": value})


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    with contextlib.suppress(frames.ProtocolError):
        frames.parse(data)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"a":1,"b":2}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 309 + b"}",
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b'{"\\udfff":1}',
        b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
        b'{"a":' + b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"a":[' + b",".join([b"[]"] * frames.NESTS) + b"]}",
        b'{"a":[' + b",".join([b"[" * 60 + b"]" * 60] * 8000) + b"]}",
    ],
    ids=range(16),
)
def test_a_frame_that_breaks_a_rule_is_refused(body: bytes) -> None:
    with pytest.raises(frames.ProtocolError):
        frames.parse(body)


def test_depth_counts_brackets_and_not_text() -> None:
    deepest = 1
    for _ in range(frames.DEPTH - 1):
        deepest = [deepest]
    assert frames.parse(json.dumps({"a": deepest}).encode())[1] == deepest
    text = '\\"[{\\\\' * frames.NESTS
    assert frames.parse(json.dumps({"a": text}).encode())[1] == text
    assert len(frames.parse(json.dumps({"a": [[]] * 500}).encode())[1]) == 500


async def test_a_length_is_checked_before_anything_is_read() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data((2**32 - 1).to_bytes(4, "big"))
    with pytest.raises(frames.ProtocolError, match="4294967295 bytes"):
        await frames.read(reader)


async def test_the_end_of_the_channel_is_the_end_of_frames() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"\0\0\0\x05{")
    reader.feed_eof()
    assert await frames.read(reader) is None
