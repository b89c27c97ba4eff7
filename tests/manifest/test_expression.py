"""Expressions and templates: what they mean, what they refuse, and that values are never read as templates."""

import json
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hardpoint_manifest.expression import ExpressionError, Scope, Structure, Template, compile
from hardpoint_manifest.model import Action, Parameter, Requirement
from manifest.documents import raised

SCOPE = Scope.of("data", "input", "x", "API_KEY")
DATA = {
    "data": {"temp": 72, "weather": [{"main": "Sunny"}], "none": None, "in": 3, "null": 4, "big": 2**70},
    "x": "abc",
}
# The library for CEL ends the name of a member at a zero character.
KEYS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(KEYS, parts, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("data.temp", 72),
        ("data.big", 2**70),
        ("data.none", None),
        ("data.in", 3),
        ("data.in + 1", 4),
        ("has(data.in)", True),
        ("data.null + 1", 5),
        ("data['temp']", 72),
        ("data.`temp`", 72),
        ("data.weather.size()", 1),
        ("data.weather.map(w, w.main + '!')", ["Sunny!"]),
        ("x.includes('b') && x !== 'y'", True),
        ("x == 'includes( === '", False),
        ("'===' + x", "===abc"),
        ("has(data.nope) ? 1 : 2", 2),
        ("{'a': [data.temp]}", {"a": [72]}),
        ("type(x) == string", True),
        ("timestamp('2020-01-01T00:00:00Z')", "2020-01-01T00:00:00Z"),
    ],
)
def test_values(text, value):
    result = compile(text, SCOPE).evaluate(DATA)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("data.nope", "data.nope"),
        ("data.weather[1].main", "data.weather[1].main"),
        ("data.weather[0].icon", "data.weather[0].icon"),
        ("data.temp.deep", "data.temp.deep"),
        ("data.nope + 1", "data.nope"),
        ("data.temp + data.main.temp", "data.main.temp"),
        ("data['no way']", 'data["no way"]'),
        ("data.weather.map(w, w.icon)", "icon in data.weather.map(w, w.icon)"),
        ("input.a", "input.a"),
    ],
)
def test_missing_paths_are_named(text, place):
    with pytest.raises(ExpressionError) as caught:
        compile(text, SCOPE).evaluate(DATA)
    assert (caught.value.reason, caught.value.place) == ("MAPPING_MISSING", place)


def test_errors_do_not_show_values():
    with pytest.raises(ExpressionError) as caught:
        compile("data[x]", SCOPE).evaluate(DATA)
    assert "abc" not in caught.value.message
    with pytest.raises(ExpressionError) as caught:
        compile("data.big + 1", SCOPE).evaluate(DATA)
    assert str(2**70) not in caught.value.message


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        ("data.temp +", "EXPRESSION_INVALID", "ends too early at character"),
        ("", "EXPRESSION_INVALID", "empty"),
        ("x === ", "EXPRESSION_INVALID", "ends too early"),
        ("a.b", "NAME_UNDECLARED", "a is not declared"),
        ("'a' + 1", "TYPE_MISMATCH", "'+' does not work on (string, int) at character 5"),
        ("data.temp)", "EXPRESSION_INVALID", "closes nothing at character 10"),
        ("[1, 2", "EXPRESSION_INVALID", "at character"),
        ("data.'a'", "EXPRESSION_INVALID", "at character"),
        ("return 1", "NAME_UNDECLARED", "return is not declared"),
        ("data; data", "EXPRESSION_INVALID", "unexpected ';' at character 5"),
    ],
)
def test_texts_that_are_no_expression(text, reason, message):
    with pytest.raises(ExpressionError) as caught:
        compile(text, SCOPE)
    assert caught.value.reason == reason
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x + 1", "TYPE_MISMATCH"),
        ("1 / 0", "EXPRESSION_FAILED"),
        ("1.0 / 0.0", "EXPRESSION_FAILED"),
        ("b'a'", "EXPRESSION_FAILED"),
    ],
)
def test_evaluation_errors_are_raised(text, reason):
    with pytest.raises(ExpressionError) as caught:
        compile(text, SCOPE).evaluate(DATA)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("", ""),
        ("${data.temp}", 72),
        ("{{ data.temp }}", 72),
        ("${data.none}", None),
        (" ${data.temp}", " 72"),
        ("Bearer ${API_KEY}", "Bearer k"),
        ("${x}-{{x}}", "abc-abc"),
        ("${data.temp == 72}!", "true!"),
        ("at ${data.weather}", 'at [{"main":"Sunny"}]'),
        ("${'}'}", "}"),
        ("${ {'a': {'b': 1}}.a.b }", 1),
        ("{{ {'a': {'b': 1}}.a }}", {"b": 1}),
        ("}} $ { {", "}} $ { {"),
    ],
)
def test_templates(text, value):
    assert Template.parse(text, SCOPE).evaluate({**DATA, "API_KEY": "k"}) == value


@pytest.mark.parametrize("text", ["${x", "{{x}", "${}", "a ${data.none}", "${'}", "{{ x }"])
def test_templates_that_fail(text):
    with pytest.raises(ExpressionError):
        Template.parse(text, SCOPE).evaluate(DATA)


@given(JSON)
def test_a_whole_placeholder_keeps_value_and_type(value):
    result = Template.parse("${x}", SCOPE).evaluate({"x": value})
    assert result == value
    assert json.dumps(result) == json.dumps(value)


@given(
    st.text() | st.sampled_from(["${API_KEY}", "{{API_KEY}}", "a ${API_KEY} b", "${${API_KEY}}", "secret://API_KEY#1"])
)
def test_what_a_value_contains_is_never_evaluated(value):
    variables = {"x": value, "API_KEY": "TOP-SECRET", "input": {"q": value}}
    assert Template.parse("${x}", SCOPE).evaluate(variables) == value
    assert Template.parse("<{{x}}|${input.q}>", SCOPE).evaluate(variables) == f"<{value}|{value}>"
    filled = Structure.parse({"a": ["${x}", {"b": "= ${x}"}]}, SCOPE).evaluate(variables)
    assert filled == {"a": [value, {"b": f"= {value}"}]}


NAMES = st.text(string.ascii_letters + "_", min_size=1, max_size=6)


@given(st.dictionaries(NAMES, JSON, max_size=3), st.lists(NAMES | st.integers(0, 3), min_size=1, max_size=3))
def test_a_path_means_the_same_as_in_cel(data, steps):
    """A path alone is walked in Python; put into a list it goes through CEL."""
    text = "data" + "".join(f"[{step}]" if isinstance(step, int) else f"['{step}']" for step in steps)
    path, cel = compile(text, SCOPE), compile(f"[{text}]", SCOPE)
    missing = raised(ExpressionError, path.evaluate, {"data": data})
    if missing is not None:
        assert missing.reason == "MAPPING_MISSING"
        assert raised(ExpressionError, cel.evaluate, {"data": data}) is not None
        return
    expected = path.evaluate({"data": data})
    assume(all(abs(number) < 2**63 for number in _integers(expected)))
    assert cel.evaluate({"data": data}) == [expected]


def _integers(value):
    if isinstance(value, int):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _integers(part)


ACTION = Action(
    id="get",
    name="get",
    inputs=(
        Parameter(name="city", type="string", required=True),
        Parameter(name="units", type="string"),
        Parameter(name="days", type="integer", default=3),
        Parameter(name="in", type="string"),
        Parameter(name="box", type="object", properties=(Parameter(name="w", type="number"),)),
    ),
)
REQUEST = Scope.request(ACTION, [Requirement(key="API_KEY", label="", type="secret", required=True)])


def test_optional_values_that_are_absent_are_left_out():
    structure = Structure.parse({"city": "${city}", "units": "{{units}}", "list": ["${units}", 1]}, REQUEST)
    assert structure.evaluate({"input": {"city": "Bern"}}) == {"city": "Bern", "list": [1]}
    assert structure.evaluate({"input": {"city": "Bern", "units": "m"}}) == {
        "city": "Bern",
        "units": "m",
        "list": ["m", 1],
    }


@pytest.mark.parametrize(
    ("value", "variables"), [("${city}", {"input": {}}), ("in ${units}", {"input": {}}), ("${API_KEY}", {})]
)
def test_other_absent_values_are_errors(value, variables):
    with pytest.raises(ExpressionError) as caught:
        Structure.parse([value], REQUEST).evaluate(variables)
    assert caught.value.reason == "MAPPING_MISSING"


@pytest.mark.parametrize(
    ("text", "reason", "fix"),
    [
        ("input.citi", "NAME_UNDECLARED", "did you mean input.city?"),
        ("citi", "NAME_UNDECLARED", "did you mean city?"),
        ("input.box.h", "NAME_UNDECLARED", ""),
        ("input.city + 1", "TYPE_MISMATCH", ""),
        ("city + 1", "TYPE_MISMATCH", ""),
        ("input.days + 'x'", "TYPE_MISMATCH", ""),
        ("API_KEY && true", "TYPE_MISMATCH", ""),
    ],
)
def test_mistakes_are_found_before_anything_runs(text, reason, fix):
    with pytest.raises(ExpressionError) as caught:
        compile(text, REQUEST)
    assert caught.value.reason == reason
    assert caught.value.fix == fix


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("input.city", "string"),
        ("days", "integer"),
        ("input.days > 2", "boolean"),
        ("input.box.w", "number"),
        ("input.in", "string"),
    ],
)
def test_result_types_are_known_beforehand(text, kind):
    assert compile(text, REQUEST).result_type == kind


def test_reserved_words_can_be_inputs():
    assert compile("input.in + '!'", REQUEST).evaluate({"input": {"in": "a"}}) == "a!"


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("New York", "https://h.example/a/New%20York/b"),
        ("../admin", "https://h.example/a/..%2Fadmin/b"),
        ("a/b?c#d", "https://h.example/a/a%2Fb%3Fc%23d/b"),
        ("@evil.test", "https://h.example/a/%40evil.test/b"),
        ("\r\nX: y", "https://h.example/a/%0D%0AX%3A%20y/b"),
        (7, "https://h.example/a/7/b"),
    ],
)
def test_values_in_urls_are_encoded(value, url):
    assert Template.parse("https://h.example/a/${x}/b", SCOPE).evaluate_url({"x": value}) == url


@pytest.mark.parametrize("value", ["..", ".", None])
def test_values_cannot_step_out_of_their_place(value):
    with pytest.raises(ExpressionError):
        Template.parse("https://h.example/a/${x}/b", SCOPE).evaluate_url({"x": value})


@given(st.text(alphabet=string.printable, max_size=60))
def test_any_text_compiles_or_is_refused_with_a_reason(text):
    for read in (compile, Template.parse):
        error = raised(ExpressionError, read, text, SCOPE)
        assert error is None or error.message
