"""What a cassette is of, and what is none: files that somebody wrote or edited by hand."""

import json
from typing import Any

import pytest

from hardpoint_executor.taping import cassette_of
from hardpoint_kit.errors import InvalidArgument
from hardpoint_manifest.cassette import Cassette


def test_a_cassette_is_of_one_action_and_one_input() -> None:
    made = Cassette(action="act", input={"n": 1, "of": [2]}, nonce="0" * 32)
    assert made.fits("act", {"of": [2.0], "n": 1.0})
    assert not made.fits("other", {"n": 1, "of": [2]})
    assert not made.fits("act", {"n": True, "of": [2]})
    assert not made.fits("act", {"n": 1})


@pytest.mark.parametrize(
    "edit",
    [
        {"answer": {"status": "200", "headers": {}, "body": "", "encoding": "utf-8"}},
        {"answer": {"status": 200, "headers": {"a": 1}, "body": "", "encoding": "utf-8"}},
        {"answer": {"status": 200, "headers": {}, "body": "?", "encoding": "base64"}},
        {"answer": None},
        {"service": "../../etc"},
        {"method": 7},
        {"error": {"code": "x" * 100}},
        {"more": 1},
        {"whole": {"authority": {"hosts": ["api.example.com/path"]}}},
        {"whole": {"authority": {"more": []}}},
        {"whole": {"files": [{"id": ""}]}},
    ],
)
def test_what_was_edited_into_nonsense_is_refused_with_its_place(edit: dict[str, Any]) -> None:
    answered = {"status": 200, "headers": {}, "body": "", "encoding": "utf-8"}
    whole = edit.get("whole", {})
    call = {"service": "fetch", "method": "GET", "arguments": {}, "answer": answered, **({} if whole else edit)}
    document = {"cassette": 1, "action": "run", "input": {}, "nonce": "0" * 32, "calls": [call], "output": None}
    document |= whole
    with pytest.raises(InvalidArgument) as refused:
        cassette_of(json.dumps(document, indent=1).encode())
    assert refused.value.reason == "CASSETTE_INVALID"
    assert refused.value.place


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{" * 5000, b'{"cassette": 1e999}', b"\xff", b'{"a": 1, "a": 2}', b"x" * 2_000_000]
)
def test_what_is_no_cassette_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument) as refused:
        cassette_of(data)
    assert refused.value.reason == "CASSETTE_INVALID"
