"""Inputs that do not fit are made of any schema, and none of them fits."""

from hypothesis import given
from hypothesis import strategies as st

from hardpoint_manifest.inputs import InputSchema
from hardpoint_manifest.misfits import MOST, misfits
from hardpoint_manifest.model import Action, Parameter

NAMES = st.sampled_from(["a", "b", "c"])
LEAVES = st.builds(
    Parameter,
    name=NAMES,
    type=st.sampled_from(["string", "number", "integer", "boolean", "file", "any"]),
    required=st.booleans(),
    default=st.none() | st.just(1),
)
PARAMETERS = LEAVES | st.builds(
    Parameter,
    name=NAMES,
    type=st.just("object"),
    required=st.booleans(),
    properties=st.lists(LEAVES, max_size=2, unique_by=lambda one: one.name).map(tuple),
)


@given(st.lists(PARAMETERS, max_size=3, unique_by=lambda one: one.name).map(tuple))
def test_no_input_of_them_fits_and_they_are_the_same_each_time(inputs: tuple[Parameter, ...]) -> None:
    action = Action(id="act", name="Act", inputs=inputs)
    found = misfits(action, {})
    schema = InputSchema(action.input_schema())
    assert all(schema.violations(schema.completed(value)) for value in found)
    assert len(found) <= MOST
    assert bool(found) is bool(inputs)
    assert found == misfits(action, {})
