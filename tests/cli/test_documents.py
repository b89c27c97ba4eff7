"""Messages of the contracts as words."""

import time
from collections.abc import Iterator

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from hardpoint_cli.documents import document, moment
from hardpoint_kit.documents import to_struct


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


def test_whole_numbers_are_written_as_such_while_every_digit_is_true() -> None:
    shown = document(to_struct({"some": 5.0, "most": 2.0**53, "many": 1e300, "part": 0.5}))
    assert {name: repr(value) for name, value in shown.items()} == {
        "some": "5",
        "most": "9007199254740992",
        "many": "1e+300",
        "part": "0.5",
    }
