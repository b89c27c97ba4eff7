"""Rules of settings documents, and values that do not show themselves."""

import copy
import json
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from hardpoint_config.domain import MAX_KEYS, MAX_VALUES_BYTES, Lease, Secret, SecretValue, Settings, SettingsChange
from hardpoint_kit.errors import InvalidArgument
from hardpoint_kit.names import SecretName, SettingsName

AT = datetime(2026, 3, 1, tzinfo=UTC)
NAME = SettingsName("acme", "weather")
TOKEN = SecretName("acme", "token")

KEYS = st.sampled_from(["A", "B", "TIMEOUT", "api_key"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def change(values: Any = None, secrets: Any = None, mask: tuple[str, ...] = ()) -> SettingsChange:
    return SettingsChange(values or {}, secrets or {}, mask)


def test_without_a_mask_the_given_keys_are_set_and_the_others_stay() -> None:
    before = Settings(NAME, {"A": 1, "B": 2}, {"KEY": TOKEN})
    after = before.updated(change({"B": 3}), AT)
    assert after == Settings(NAME, {"A": 1, "B": 3}, {"KEY": TOKEN}, AT)


def test_a_key_in_the_mask_that_is_not_given_is_removed() -> None:
    before = Settings(NAME, {"A": 1, "B": 2}, {"KEY": TOKEN})
    after = before.updated(change({"B": 3}, mask=("values.A", "secrets.KEY")), AT)
    assert after == Settings(NAME, {"B": 2}, {}, AT)


def test_a_key_moves_from_value_to_secret_in_one_update() -> None:
    before = Settings(NAME, {"KEY": "in the clear"})
    after = before.updated(change(secrets={"KEY": TOKEN}, mask=("values.KEY", "secrets.KEY")), AT)
    assert (after.values, after.secrets) == ({}, {"KEY": TOKEN})


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        (change({"A": 1}, mask=("values",)), "update_mask"),
        (change({"A": 1}, mask=("etag",)), "update_mask"),
        (change({"A": 1}, mask=("values.A.b",)), "update_mask"),
        (change({"not a key": 1}), "settings.values.not a key"),
        (change({"": 1}), "settings.values."),
        (change({"A": float("nan")}), "settings.values.A"),
        (change({"A": [{"deep": float("inf")}]}), "settings.values.A[0].deep"),
        (change({"A": "a\0b"}), "settings.values.A"),
        (change({"A": {"a\0b": 1}}), "settings.values.A"),
        (change({"KEY": 1}), "settings.values.KEY"),
        (change(secrets={"B": SecretName("other", "token")}), "settings.secrets.B"),
        (change({f"K{number}": 1 for number in range(MAX_KEYS + 1)}), "settings.values"),
        (change({"A": "x" * MAX_VALUES_BYTES}), "settings.values"),
    ],
)
def test_what_a_document_cannot_hold_is_refused_by_place(asked: SettingsChange, place: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        Settings(NAME, secrets={"KEY": TOKEN}).updated(asked, AT)
    assert refused.value.place == place


@given(before=st.dictionaries(KEYS, JSON), given=st.dictionaries(KEYS, JSON), masked=st.sets(KEYS))
def test_an_update_touches_the_keys_it_names_and_no_other(
    before: dict[str, Any], given: dict[str, Any], masked: set[str]
) -> None:
    mask = tuple(f"values.{key}" for key in masked)
    after = Settings(NAME, before).updated(change(given, mask=mask), AT).values
    named = masked or given.keys()
    assert {key: after[key] for key in named & after.keys()} == {key: given[key] for key in named & given.keys()}
    assert {key: after[key] for key in after.keys() - named} == {key: before[key] for key in before.keys() - named}


@given(values=st.dictionaries(KEYS, JSON))
def test_a_document_comes_back_from_json_with_its_etag(values: dict[str, Any]) -> None:
    settings = Settings(NAME).updated(change(values, {"SECRET": TOKEN}), AT)
    adapter = TypeAdapter(Settings)
    assert adapter.validate_json(adapter.dump_json(settings)).etag == settings.etag
    assert Settings(NAME, json.loads(json.dumps(values)), settings.secrets, AT).etag == settings.etag


def test_rotating_counts_versions() -> None:
    secret = Secret.new(TOKEN, "for tests", AT)
    assert (secret.version, secret.rotate_time) == (1, None)
    assert (secret.rotated(AT).version, secret.rotated(AT).rotate_time) == (2, AT)
    assert secret.rotated(AT).etag != secret.etag


def test_a_secret_value_does_not_show_itself() -> None:
    value = SecretValue(b"canary")
    for shown in (repr(value), str(value), f"{value}", repr({"held": [value]}), repr(Lease("canary", AT))):
        assert "canary" not in shown
    assert value.reveal() == b"canary"
    for way_out in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError):
            way_out(value)
