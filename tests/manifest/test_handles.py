"""Where an input holds files: where its schema says so."""

import json

import pytest

from hardpoint_manifest.handles import handles, is_file, path_of, present, with_handles
from hardpoint_manifest.model import FILE_SCHEMA, Action, Parameter

HANDLE = {"id": "orgs/acme/files/a", "name": "a.pdf"}


def schema(*parameters: Parameter) -> dict:
    return Action(id="act", name="Act", inputs=parameters).input_schema()


def test_a_file_is_one_whatever_is_said_of_it():
    described = Parameter(name="invoice", type="file", description="The invoice, as PDF").to_schema()
    assert is_file(described)
    changed = ({**FILE_SCHEMA, "properties": {}}, {**FILE_SCHEMA, "required": []})
    for other in ({"type": "object"}, {}, None, "file", *changed):
        assert not is_file(other)


def test_files_are_found_where_the_schema_has_them():
    files = Parameter(name="files", type="array", items=Parameter(name="each", type="file"))
    part = Parameter(name="part", type="object", properties=(Parameter(name="file", type="file"), files))
    text = Parameter(name="text", type="string")
    declared = schema(Parameter(name="invoice", type="file"), part, Parameter(name="any"), text)
    value = {
        "invoice": HANDLE,
        "part": {"file": HANDLE, "files": [HANDLE, HANDLE]},
        "any": HANDLE,
        "text": "orgs/acme/files/a",
    }
    found = dict(handles(declared, value))
    assert [path_of(place) for place in found] == [
        "input.invoice",
        "input.part.file",
        "input.part.files[0]",
        "input.part.files[1]",
    ]
    changed = with_handles(value, {place: path_of(place) for place in found})
    assert changed == {
        "invoice": "input.invoice",
        "part": {"file": "input.part.file", "files": ["input.part.files[0]", "input.part.files[1]"]},
        "any": HANDLE,
        "text": "orgs/acme/files/a",
    }


def test_a_release_of_before_handles_said_when_their_files_expire_takes_those_that_do():
    each = Parameter(name="each", type="file", description="One")
    part = Parameter(name="part", type="object", properties=(Parameter(name="files", type="array", items=each),))
    now = schema(Parameter(name="invoice", type="file"), part, Parameter(name="text", type="string"))
    before = json.loads(json.dumps(now).replace(', "expire_time": {"type": "string"}', ""))
    assert not is_file(before["properties"]["invoice"])
    assert present(before) == now
    assert present(now) == now
    for other in ({}, {"type": "object", "properties": {"id": {"type": "string"}}}, True, None):
        assert present(other) == other


@pytest.mark.parametrize("value", [{}, {"invoice": None}, {"invoice": "text"}, {"other": HANDLE}, [], None])
def test_what_is_not_there_is_not_found(value):
    declared = schema(Parameter(name="invoice", type="file"))
    assert list(handles(declared, value)) == []
    assert with_handles(value, {}) == value


def test_an_action_that_declares_nothing_takes_no_files():
    assert list(handles(schema(), {"invoice": HANDLE})) == []
