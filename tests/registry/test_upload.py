"""Receiving bytes: all of them, in order, as announced, or nothing."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hardpoint_kit.errors import InvalidArgument, OutOfRange
from hardpoint_kit.names import OrgName
from hardpoint_manifest.load import MAX_BYTES
from hardpoint_registry.domain import Artifact
from hardpoint_registry.upload import Announcement, Upload, digest_of, receive


def announcement(data: bytes, size: int | None = None) -> Announcement:
    return Announcement(OrgName("acme"), Artifact(digest_of(data), len(data) if size is None else size))


@given(st.lists(st.binary(max_size=50)))
def test_bytes_arrive_however_they_are_cut(chunks: list[bytes]) -> None:
    upload = Upload(announcement(b"".join(chunks)))
    for chunk in chunks:
        upload.add(chunk)
    assert upload.complete() == b"".join(chunks)


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_other_bytes_than_announced_never_arrive(announced: bytes, sent: bytes) -> None:
    assume(announced != sent)
    upload = Upload(announcement(announced))

    def send() -> None:
        upload.add(sent)
        upload.complete()

    with pytest.raises((InvalidArgument, OutOfRange)) as refused:
        send()
    expected = {-1: "ARTIFACT_INCOMPLETE", 0: "DIGEST_MISMATCH", 1: "ARTIFACT_TOO_LARGE"}
    difference = len(sent) - len(announced)
    assert refused.value.reason == expected[(difference > 0) - (difference < 0)]


def test_a_large_file_is_refused_when_it_is_announced() -> None:
    announcement(b"", size=MAX_BYTES)
    with pytest.raises(OutOfRange) as refused:
        announcement(b"", size=MAX_BYTES + 1)
    assert refused.value.reason == "ARTIFACT_TOO_LARGE"
    assert refused.value.metadata["limit_bytes"] == str(MAX_BYTES)


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"chunk"],
        [announcement(b"ab"), announcement(b"ab")],
        [announcement(b"ab"), b"a", announcement(b"ab"), b"b"],
    ],
)
async def test_one_header_comes_first(parts: list[Announcement | bytes]) -> None:
    async def sent() -> AsyncIterator[Announcement | bytes]:
        for part in parts:
            yield part

    with pytest.raises(InvalidArgument) as refused:
        await receive(sent())
    assert "part" in refused.value.violations
