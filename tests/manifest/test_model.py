"""The one model: schemas, defaults, patches."""

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from hardpoint_manifest.finding import PatchOp, apply_patch, path_text, pointer
from hardpoint_manifest.model import Action, Kind, Manifest, Parameter


def test_schemas_are_closed_when_declared_and_open_when_not():
    declared = Action(id="a", name="a", inputs=(Parameter(name="x", type="integer", enum=(1, 2), default=1),))
    schema = Draft202012Validator(declared.input_schema())
    assert schema.is_valid({"x": 2})
    assert schema.is_valid({})
    assert not schema.is_valid({"x": 3})
    assert not schema.is_valid({"y": 1})
    undeclared = Action(id="a", name="a")
    assert Draft202012Validator(undeclared.input_schema()).is_valid({"y": 1})
    assert not Draft202012Validator(undeclared.input_schema()).is_valid([1])
    assert Draft202012Validator(undeclared.output_schema()).is_valid([1])


def test_nested_parameters():
    box = Parameter(name="box", type="object", properties=(Parameter(name="w", type="number", required=True),))
    schema = Draft202012Validator(Action(id="a", name="a", inputs=(box,)).input_schema())
    assert schema.is_valid({"box": {"w": 1.5}})
    assert not schema.is_valid({"box": {}})
    assert not schema.is_valid({"box": {"w": 1, "h": 2}})


def test_a_file_is_a_handle():
    schema = Draft202012Validator(Action(id="a", name="a", inputs=(Parameter(name="f", type="file"),)).input_schema())
    assert schema.is_valid({"f": {"id": "f1", "name": "invoice.pdf", "type": "pdf", "size": 9}})
    assert not schema.is_valid({"f": {"name": "invoice.pdf"}})
    assert not schema.is_valid({"f": "invoice.pdf"})


def test_defaults_fill_what_is_absent():
    action = Action(id="a", name="a", inputs=(Parameter(name="x", default=1), Parameter(name="y")))
    assert action.with_defaults({}) == {"x": 1}
    assert action.with_defaults({"x": None, "y": 2}) == {"x": None, "y": 2}


@pytest.mark.parametrize("name", ["__proto__", "constructor", "x);process.exit(1)//"])
def test_hostile_names_do_not_enter_the_model(name):
    with pytest.raises(ValidationError):
        Action(id=name, name="a")
    with pytest.raises(ValidationError):
        Parameter(name=name)


def test_a_manifest_survives_json():
    manifest = Manifest(
        id="x", name="X", version="1.0.0", kind=Kind.CODE, language="python", actions=(Action(id="a", name="a"),)
    )
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    with pytest.raises(ValidationError):
        Manifest(id="x", name="X", version="1.0.0", kind=Kind.CODE)


def test_patches():
    data = {"a/b": [1, {"~": 2}]}
    patch = [
        PatchOp("add", "/a~1b/-", 3),
        PatchOp("add", "/a~1b/0", 0),
        PatchOp("replace", "/a~1b/2/~0", 9),
        PatchOp("add", "/c", {}),
    ]
    assert apply_patch(data, patch) == {"a/b": [0, 1, {"~": 9}, 3], "c": {}}
    assert data == {"a/b": [1, {"~": 2}]}
    with pytest.raises(KeyError):
        apply_patch({}, [PatchOp("replace", "/a", 1)])
    with pytest.raises(KeyError):
        apply_patch({}, [PatchOp("add", "/a/b", 1)])


def test_paths_for_people_and_for_programs():
    path = ("capability", "actions", 0, "a/b~")
    assert path_text(path) == "capability.actions[0].a/b~"
    assert pointer(path) == "/capability/actions/0/a~1b~0"
