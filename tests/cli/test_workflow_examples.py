"""`hardpoint test` of a workflow: its examples walked on their answers, by a command line that knows no server."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.conftest import Run
from hardpoint_manifest.load import MAX_BYTES

EXAMPLES = Path(__file__).parents[2] / "examples"
FILE = EXAMPLES / "purchase-order.yaml"


def changed(change: Any) -> str:
    """The example file with one change."""
    document = yaml.safe_load(FILE.read_text())
    change(document["capability"])
    Path("order.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return "order.yaml"


def test_the_examples_of_a_workflow_need_no_server(run: Run) -> None:
    said = run("test", str(FILE))
    assert said.code == 0, said.out + said.err
    lines = said.table.splitlines()
    assert lines[0].split(" | ") == ["example", "input", "steps", "time"]
    assert "| total, store, send |" in lines[1]
    assert "| total, allow ✗, on-error |" in lines[2]
    assert "| total, store, send ✗, store.revert, on-error |" in lines[3]
    assert lines[4] == "✓ 3 of 3 examples hold"


def test_an_example_that_does_not_hold_says_what_differs_first(run: Run) -> None:
    file = changed(lambda capability: capability["workflow"]["steps"][1].update({"if": "steps.total > 1.0"}))
    said = run("test", file)
    assert said.code == 1
    assert "✗ small\n    steps.allow is to be skipped, and its turn came" in said.out
    assert "✗ 2 of 3 examples hold" in said.out
    file = changed(lambda capability: capability["examples"][0].update(expected_output={"total": 1, "mail": "x"}))
    said = run("test", file, "--json")
    assert said.code == 1
    first = said.json["examples"][0]
    assert first["differences"] == ["total is 45.0, not 1", "mail is '<1@example.com>', not 'x'"]
    assert (first["how"], first["output"]["total"], first["steps"][0]["place"]) == ("walked", 45.0, "total")
    assert [one["state"] for one in first["steps"]] == ["done", "skipped", "done", "done"]
    assert "it gave" in run("test", file).out


def test_what_failed_is_told_with_its_reason(run: Run) -> None:
    file = changed(lambda capability: capability["examples"][2].pop("expected_error"))
    said = run("test", file)
    assert said.code == 1
    assert "it failed with MAIL_REFUSED, at send: as the example says" in said.out
    assert "send failed: MAIL_REFUSED" not in said.out
    file = changed(lambda capability: capability["examples"][2]["steps"].pop("on-error"))
    said = run("test", file)
    assert "add `on-error: { gives: ... }` to the `steps` of supplier-away" in said.out
    assert "send failed: MAIL_REFUSED, as the example says" in said.out


@pytest.mark.parametrize(
    ("option", "why"),
    [
        (["--record"], "nothing to record"),
        (["--observe"], "asks for what the actions of its steps ask for"),
        (["--step", "store"], "its steps are actions of other capabilities"),
        (["--with", str(FILE)], "under `steps`"),
        (["--settings", "mine"], "which `settings` have a value"),
    ],
)
def test_options_of_other_kinds_are_refused_with_the_reason(run: Run, option: list[str], why: str) -> None:
    said = run("test", str(FILE), *option, "--json")
    assert said.code == 1
    error = said.json["error"]
    assert (error["reason"], error["place"]) == ("NO_TEST", option[0])
    assert why in error["message"]
    assert f"without {option[0]}" in error["fix"]


def test_a_workflow_without_examples_has_nothing_to_test(run: Run) -> None:
    said = run("test", str(EXAMPLES / "invoice-processor.yaml"))
    assert said.code == 1
    assert "no examples" in said.err


def test_a_new_workflow_has_examples_that_hold(run: Run) -> None:
    assert run("new", "workflow", "orders").code == 0
    said = run("test", "orders.yaml")
    assert said.code == 0, said.out + said.err
    assert "2 of 2 examples hold" in said.out


def test_answers_are_bounded_as_the_file_is(run: Run) -> None:
    Path("huge.yaml").write_bytes(FILE.read_bytes() + b"    - name: huge\n      input: {item: '" + b"x" * 5_000_000)
    said = run("test", "huge.yaml")
    assert said.code == 1
    assert f"{MAX_BYTES:,}" in said.out
