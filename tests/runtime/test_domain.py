"""The rules on the runtime's nouns: admission, names, input, counters."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardpoint_kit.errors import ActionFailed, Conflict, HardpointError, InvalidArgument, NotFound
from hardpoint_kit.names import AgentName, InstallationName, ReleaseName
from hardpoint_manifest.authority import Authority
from hardpoint_manifest.inputs import MOST_VIOLATIONS
from hardpoint_runtime.domain.actions import ActionName, InputCheck
from hardpoint_runtime.domain.agents import AgentState
from hardpoint_runtime.domain.counters import NOTHING, Counters
from hardpoint_runtime.domain.releases import Effect
from hardpoint_runtime.domain.runs import (
    CountedFor,
    Failure,
    Record,
    Run,
    RunState,
    Usage,
    new_run_name,
    sum_by_attachment,
)
from hardpoint_runtime.domain.snapshot import Attached, Snapshot
from hardpoint_runtime.store.rows import RELEASE
from runtime.factories import API_KEY, UNITS, action, release

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AGENT = AgentName("acme", "helper")
PLACE = ActionName("weather", "get-weather")


def attached(
    installation: str = "weather",
    *,
    on: bool = True,
    priority: int = 0,
    capability: str = "weather",
    own_name: bool = False,
) -> Attached:
    return Attached(
        InstallationName("acme", installation),
        on,
        priority,
        release(capability),
        Authority(),
        CountedFor(f"a-{installation}", f"i-{installation}"),
        own_name=own_name,
    )


@given(
    st.lists(
        st.builds(
            attached,
            st.sampled_from(["one", "two", "three", "four"]),
            on=st.booleans(),
            priority=st.integers(-2, 2),
            capability=st.sampled_from(["weather", "maps"]),
            own_name=st.booleans(),
        ),
        unique_by=lambda a: a.installation,
    ),
    st.sampled_from(AgentState),
)
def test_what_is_listed_is_exactly_what_is_admitted(everything: list[Attached], state: AgentState) -> None:
    snapshot = Snapshot.of(AGENT, state, everything)
    listed = {offer.name: offer for offer in snapshot.tools()}
    prefixes = ("weather", "maps", "one", "two", "three", "four")
    for name in (*(ActionName(prefix, "get-weather") for prefix in prefixes), ActionName("weather", "other")):
        try:
            assert snapshot.admit(name) is listed[name]
        except HardpointError:
            assert name not in listed
    for name, offer in listed.items():
        rivals = [a for a in everything if a.on and a.prefix == name.prefix]
        assert [a for a in rivals if a.priority >= offer.attached.priority] == [offer.attached]
    assert list(listed) == sorted(listed)


def test_every_refusal_has_its_reason() -> None:
    with pytest.raises(Conflict) as ambiguous:
        Snapshot.of(AGENT, AgentState.ACTIVE, [attached("one"), attached("two"), attached("low", priority=-1)]).admit(
            PLACE
        )
    assert ambiguous.value.metadata["installations"] == "orgs/acme/installations/one,orgs/acme/installations/two"
    with pytest.raises(Conflict) as paused:
        Snapshot.of(AGENT, AgentState.PAUSED, [attached()]).admit(PLACE)
    assert paused.value.reason == "AGENT_PAUSED"


@pytest.mark.parametrize(
    ("everything", "detached", "why", "fix"),
    [
        ([], {}, "weather is not attached", "attach it: hardpoint attach helper weather"),
        (
            [],
            {"weather": "2026-11-23T15:00:00Z"},
            "weather was detached at 2026-11-23T15:00:00Z",
            "attach it: hardpoint attach helper weather",
        ),
        (
            [attached("one", on=False)],
            {"weather": "2026-11-23T15:00:00Z"},
            "weather is switched off",
            "enable what is off: hardpoint attachment enable helper one, hardpoint enable one",
        ),
        (
            [attached("one", own_name=True), attached("maps", capability="maps")],
            {},
            "weather is attached as one",
            "did you mean one.get-weather? Or see what there is: hardpoint tools helper",
        ),
    ],
)
def test_a_call_of_what_is_not_there_says_why(
    everything: list[Attached], detached: dict[str, str], why: str, fix: str
) -> None:
    with pytest.raises(NotFound) as refused:
        Snapshot.of(AGENT, AgentState.ACTIVE, everything, detached=detached).admit(PLACE)
    assert refused.value.reason == "ACTION_NOT_ATTACHED"
    assert str(refused.value) == f"agent {AGENT} has no action {PLACE}: {why}"
    assert refused.value.fix == fix


def test_an_action_that_the_release_lacks_is_not_said_to_be_detached() -> None:
    snapshot = Snapshot.of(AGENT, AgentState.ACTIVE, [attached()], detached={"weather": "2026-11-23T15:00:00Z"})
    with pytest.raises(NotFound, match="weather is attached, and has no such action"):
        snapshot.admit(ActionName("weather", "other"))


@pytest.mark.parametrize("name", ["weather.get-weather", "w.A", "a-1.getWeather_2"])
def test_names_of_actions_are_read_and_written(name: str) -> None:
    assert str(ActionName.parse(name)) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "weather", "weather.", ".get", "Weather.get", "weather.get.more", "weather.1get", "weather.get\n",
     "weather.toString", "wéather.get", f"weather.{'a' * 65}", f"{'a' * 64}.get"],
)  # fmt: skip
def test_other_names_are_not_names_of_actions(name: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        ActionName.parse(name)
    assert refused.value.reason == "ACTION_NAME_INVALID"


def test_a_wrong_field_is_named_wherever_it_lies() -> None:
    schema = {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": {"type": "object", "required": ["name"]}},
            "name": {"type": "string", "minLength": 3},
        },
    }
    with pytest.raises(InvalidArgument) as refused:
        InputCheck(schema).admit(PLACE, {"items": [{"name": 1}, {}, 3], "name": "ab"})
    assert refused.value.violations == {
        "input.items[1].name": "is required",
        "input.items[2]": "must be object",
        "input.name": "must satisfy minLength 3",
    }


def test_no_input_makes_an_endless_answer() -> None:
    closed = {"type": "object", "properties": {"a": {}}, "additionalProperties": False}
    with pytest.raises(InvalidArgument) as refused:
        InputCheck(closed).admit(PLACE, {"x" * 10_000 + str(i): i for i in range(1000)})
    assert len(refused.value.violations) <= MOST_VIOLATIONS
    assert len(refused.value.message) < 10_000


def test_a_whole_number_is_an_integer_and_5_0_is_whole() -> None:
    InputCheck({"properties": {"n": {"type": "integer"}}}).admit(PLACE, {"n": 5.0})


def test_a_requirement_is_missing_without_value_and_default() -> None:
    made = release(requirements=(API_KEY, UNITS))
    assert made.missing(()) == (API_KEY,)
    assert made.missing({"API_KEY"}) == ()
    assert release(actions=(action(),)).action("get-weather").effect is Effect.READ


RUN_STATES = st.sampled_from(RunState)
OUTCOMES = st.lists(
    st.tuples(RUN_STATES, st.integers(0, 10**9), st.integers(0, 10**6), st.sampled_from(["one", "two"])), max_size=30
)


def record(state: RunState, duration_us: int, second: int, key: str) -> Record:
    run = Run(
        new_run_name("acme", NOW),
        "helper",
        str(PLACE),
        ReleaseName("acme", "weather", "1.0.0"),
        state,
        Failure(),
        NOW + timedelta(seconds=second),
        duration_us,
        Usage(),
        "",
        "ada",
    )
    return Record(run, CountedFor(key, f"i-{key}"))


@given(OUTCOMES, st.data())
def test_counters_do_not_depend_on_how_calls_are_batched(
    outcomes: list[tuple[RunState, int, int, str]], data: st.DataObject
) -> None:
    records = [record(*outcome) for outcome in outcomes]
    shuffled = data.draw(st.permutations(records))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(records)), max_size=5)))
    batches = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(records)], strict=True)]
    batched: dict[object, Counters] = {}
    for batch in batches:
        for key, counted in sum_by_attachment(batch).items():
            batched[key] = batched.get(key, NOTHING) + counted

    for attachment in ("one", "two"):
        mine = [o for o in outcomes if o[3] == attachment]
        total = batched.get(("acme", CountedFor(attachment, f"i-{attachment}")), NOTHING)
        assert total.executions == len(mine)
        assert total.usages == sum(o[0] is RunState.SUCCEEDED for o in mine)
        assert total.errors == sum(o[0] is RunState.FAILED for o in mine)
        assert math.isclose(total.average_ms, sum(o[1] for o in mine) / 1000 / len(mine) if mine else 0)
        assert 0 <= total.success_rate <= 1
        assert (total.last_used is None) == (not mine)


def test_names_of_runs_sort_as_they_start() -> None:
    names = [new_run_name("acme", NOW + timedelta(milliseconds=i)) for i in range(0, 10_000, 7)]
    assert [str(name) for name in names] == sorted(str(name) for name in names)
    assert len({str(new_run_name("acme", NOW)) for _ in range(1000)}) == 1000


def test_a_failure_keeps_what_can_be_stored() -> None:
    kept = Failure.of(ActionFailed("a\0b" + "x" * 5000, place="p", fix="f"))
    assert kept.message.startswith("a\ufffdb")
    assert len(kept.message) == 2000


def test_declared_defaults_stand_in_for_what_is_absent() -> None:
    check = InputCheck({"properties": {"unit": {"type": "string", "default": "C"}, "n": {"type": "integer"}}})
    assert check.admit(PLACE, {"n": 1}) == {"n": 1, "unit": "C"}
    assert check.admit(PLACE, {"n": 1, "unit": "F"}) == {"n": 1, "unit": "F"}


def test_a_release_that_was_pinned_before_there_were_engines_is_read() -> None:
    kept = json.loads(RELEASE.dump_json(release()))
    del kept["engine"], kept["libraries"], kept["isolation"]
    assert RELEASE.validate_json(json.dumps(kept)) == release()
    chosen = replace(release(), engine="node", libraries=("numpy",), isolation="strict")
    assert RELEASE.validate_json(RELEASE.dump_json(chosen)) == chosen
