"""Messages of the contracts as words."""

import time
from collections.abc import Iterator

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from hardpoint_cli.documents import moment


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_time_is_that_of_the_callers_own_clock(tokyo: None) -> None:
    assert moment(Timestamp(seconds=1_767_225_600)) == "2026-01-01 09:00:00"
    assert moment(Timestamp()) == ""
