"""The schema for editors: up to date, and of one mind with the checker."""

import json

import pytest
from jsonschema import Draft202012Validator

from hardpoint_manifest.schema import FILE, generate, render
from manifest.documents import EXAMPLES_OF_DATA, example, http
from manifest.test_check import FAULTS


def test_the_file_is_up_to_date():
    assert FILE.read_text(encoding="utf-8") == render(), "run: python -m hardpoint_manifest.schema"


def test_it_is_a_schema():
    Draft202012Validator.check_schema(generate())


@pytest.mark.parametrize("name", EXAMPLES_OF_DATA)
def test_the_examples_fit(name):
    Draft202012Validator(json.loads(FILE.read_text(encoding="utf-8"))).validate(example(name).data)


@pytest.mark.parametrize("rule", FAULTS)
def test_faults_of_meaning_fit_too(rule):
    Draft202012Validator(generate()).validate(FAULTS[rule])


@pytest.mark.parametrize("changes", [{"id": "Not Kebab"}, {"nme": "x"}, {"version": 1.0}, {"actions": [{"id": "1a"}]}])
def test_faults_of_shape_do_not(changes):
    assert not Draft202012Validator(generate()).is_valid(http(**changes))
