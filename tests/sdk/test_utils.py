"""`this.utils` and `self.utils` give the same answers, those of the table of cases and of any data at all."""

import json
import re
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hardpoint_executor.jail import Jails
from jail.conftest import RecordedDoor
from jail.programs import javascript, python

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "cases.json").read_text())

PYTHON = """
answers = []
for case in input:
    try:
        answers.append({"gives": getattr(self.utils, case["snake"])(*case["with"], **case.get("options", {}))})
    except Exception as error:
        answers.append({"fails": str(error)})
return answers
"""
JAVASCRIPT = """
return input.map((wanted) => {
  const given = wanted.options ? [...wanted.with, wanted.options] : wanted.with;
  try { return { gives: this.utils[wanted.call](...given) }; } catch (error) { return { fails: error.message }; }
});
"""


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z]+)", lambda capital: "_" + capital[1].lower(), name)


async def answers(jails: Jails, tier: str, cases: list[dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    """What Python and JavaScript answer, each in one jail; in slots it is QuickJS that runs JavaScript."""
    cases = [{**case, "snake": snake(case["call"])} for case in cases]
    calls = (python(PYTHON, cases), javascript(JAVASCRIPT, cases, engine="quickjs" if tier == "slots" else "node"))
    outcomes = [await jails.run(call, RecordedDoor()) for call in calls]
    assert [outcome.kind for outcome in outcomes] == ["ok", "ok"], outcomes
    return outcomes[0].value, outcomes[1].value


async def test_both_languages_give_the_answers_of_the_table(jails: Jails, tier: str) -> None:
    from_python, from_javascript = await answers(jails, tier, CASES)
    for case, mine, theirs in zip(CASES, from_python, from_javascript, strict=True):
        wanted = {key: case[key] for key in ("gives", "fails") if key in case}
        assert (mine, theirs) == (wanted, wanted), case


async def test_both_languages_offer_the_same_functions(jails: Jails) -> None:
    listed = """
ours = (name for name, found in vars(self.utils).items() if getattr(found, "__module__", "") == self.utils.__name__)
return sorted(name for name in ours if not name.startswith("_"))
"""
    mine = await jails.run(python(listed), RecordedDoor())
    theirs = await jails.run(javascript("return Object.keys(this.utils);"), RecordedDoor())
    assert mine.value == sorted(snake(name) for name in theirs.value)
    assert {snake(case["call"]) for case in CASES} == set(mine.value)


NUMBERS = st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9).filter(lambda value: value == 0 or abs(value) > 1e-9)
SERIES = st.lists(NUMBERS, max_size=12)
# QuickJS writes some numbers, such as -2 ** -24, with more digits than they need; in a text that is another text.
WRITTEN = NUMBERS.map(lambda number: round(number, 3) if isinstance(number, float) else number)
ROWS = st.lists(
    st.fixed_dictionaries({"a": WRITTEN | st.text(max_size=4), "b": st.none() | st.booleans() | WRITTEN})
    | st.dictionaries(st.sampled_from(["a", "b", "", "2021", "2020", "0", "007", "-1", "1.5", f"{2**32}"]), WRITTEN),
    max_size=5,
)
DATASETS = st.one_of(
    st.builds(
        lambda name, data: {"call": name, "with": [data]},
        st.sampled_from(
            [
                "sum",
                "min",
                "max",
                "mean",
                "median",
                "variance",
                "standardDeviation",
                "findOutliers",
                "linearTrend",
                "numbers",
            ]
        ),
        SERIES | ROWS,
    ),
    st.builds(lambda data, q: {"call": "quantile", "with": [data, q]}, SERIES, st.floats(0, 1)),
    st.builds(lambda xs, ys: {"call": "correlation", "with": [xs, ys]}, SERIES, SERIES),
    st.builds(lambda rows: {"call": "toCSV", "with": [rows]}, ROWS),
    st.builds(lambda rows: {"call": "groupBy", "with": [rows, "b"]}, ROWS),
    st.builds(
        lambda text: {"call": "parseCSV", "with": [text]}, st.text('0123456789.eE+-,"\r\n\t ab\ufeff', max_size=30)
    ),
)


@given(cases=st.lists(DATASETS, min_size=15, max_size=30))
@settings(max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
async def test_both_languages_agree_on_any_data(jails: Jails, tier: str, cases: list[dict[str, Any]]) -> None:
    from_python, from_javascript = await answers(jails, tier, cases)
    for case, mine, theirs in zip(cases, from_python, from_javascript, strict=True):
        assert as_doubles(mine) == as_doubles(theirs), case


def as_doubles(value: Any) -> Any:
    """JavaScript writes a large double without a point; read as an integer it would be another number."""
    if isinstance(value, dict):
        return {key: as_doubles(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_doubles(inner) for inner in value]
    return float(value) if isinstance(value, int) else value
