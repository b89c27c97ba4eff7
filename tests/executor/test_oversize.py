"""An output that is too large: an error that says what to do, or a stored file that says what is in it."""

import json
from typing import Any

import pytest

from executor.brokers import client_of
from executor.conftest import SECRET, Run
from executor.kept import Kept
from executor.upstream import Upstream, json_answer
from hardpoint_executor.domain import Finished, Outcome
from hardpoint_executor.runners.oversize import OVERSIZE_BYTES, preview_of, schema_of
from hardpoint_kit.errors import ResourceExhausted

ROWS = {
    "python": "return [{'n': n, 'text': 'x' * 200} for n in range(8000)]",
    "javascript": "return Array.from({ length: 8000 }, (_, n) => ({ n, text: 'x'.repeat(200) }));",
}
WANTED = [{"n": n, "text": "x" * 200} for n in range(8000)]
TIERS = [
    ("single-use", "python", ""),
    ("single-use", "javascript", "node"),
    ("slots", "python", ""),
    ("slots", "javascript", "quickjs"),
]


async def finish(run: Run, language: str, body: Any, *upstreams: Any, **rest: Any) -> Finished:
    finished = (await run(language, body, *(upstreams or ({},)), **rest))[-1]
    assert isinstance(finished, Finished)
    return finished


@pytest.mark.jail
@pytest.mark.parametrize(("tier", "language", "engine"), TIERS, indirect=["tier"])
async def test_it_becomes_a_file_with_schema_and_preview(run: Run, language: str, engine: str) -> None:
    kept = Kept()
    finished = await finish(run, language, ROWS[language], kept=kept, engine=engine, oversize=True)
    assert finished.error is None, finished.error
    assert finished.output_in_file
    assert finished.output["file"]["name"] == "act.json"
    assert finished.output["schema"] == {
        "type": "array",
        "items": {"type": "object", "properties": {"n": {"type": "integer"}, "text": {"type": "string"}}},
    }
    assert finished.output["preview"] == WANTED[:5]
    ((name, declared, data),) = kept.saved.values()
    assert (name, declared, json.loads(data)) == ("act.json", "application/json", WANTED)
    assert "file.write" not in finished.used.permissions


@pytest.mark.jail
@pytest.mark.parametrize(("tier", "language", "engine"), TIERS, indirect=["tier"])
async def test_without_being_asked_for_it_stays_an_error_that_says_so(run: Run, language: str, engine: str) -> None:
    kept = Kept()
    finished = await finish(run, language, ROWS[language], kept=kept, engine=engine)
    assert (finished.outcome, finished.error.reason) == (Outcome.OUTPUT_LIMIT, "OUTPUT_LIMIT")
    assert "oversize" in finished.error.fix
    assert kept.saved == {}


@pytest.mark.jail
@pytest.mark.parametrize("tier", ["slots"], indirect=True)
async def test_its_schema_is_the_declared_one_which_it_fits(run: Run) -> None:
    kept, body = Kept(), "return {'n': 'x' * 2_000_000}"
    declared = {"type": "object", "properties": {"n": {"type": "string"}, "m": {"type": "number"}}, "required": ["n"]}
    finished = await finish(run, "python", body, kept=kept, oversize=True, output_schema=declared)
    assert (finished.error, finished.output_in_file, finished.output["schema"]) == (None, True, declared)
    kept, wrong = Kept(), "return {'n': ['x' * 2_000_000]}"
    finished = await finish(run, "python", wrong, kept=kept, oversize=True, output_schema=declared)
    assert (finished.error.reason, kept.saved) == ("TYPE_MISMATCH", {})


@pytest.mark.jail
@pytest.mark.parametrize("tier", ["slots"], indirect=True)
async def test_what_fits_stays_as_it_is(run: Run) -> None:
    kept = Kept()
    finished = await finish(run, "python", "return {'a': 1}", kept=kept, oversize=True)
    assert (finished.output, finished.output_in_file, kept.saved) == ({"a": 1}, False, {})


@pytest.mark.jail
@pytest.mark.parametrize("tier", ["slots"], indirect=True)
async def test_a_text_becomes_a_text(run: Run) -> None:
    kept = Kept()
    finished = await finish(run, "python", "return 'é' * 600_000", kept=kept, oversize=True)
    assert finished.output["schema"] == {"type": "string"}
    assert finished.output["preview"] == "é" * 200 + "…"
    assert [saved[0::2] for saved in kept.saved.values()] == [("act.txt", ("é" * 600_000).encode())]


@pytest.mark.jail
@pytest.mark.parametrize("tier", ["slots"], indirect=True)
async def test_many_values_become_a_file_too(run: Run) -> None:
    kept = Kept()
    finished = await finish(run, "python", "return list(range(60_000))", kept=kept, oversize=True)
    assert finished.output["preview"] == [0, 1, 2, 3, 4]
    ((_, _, data),) = kept.saved.values()
    assert json.loads(data) == list(range(60_000))


@pytest.mark.jail
@pytest.mark.parametrize("tier", ["slots"], indirect=True)
async def test_there_is_an_end_to_it(run: Run) -> None:
    finished = await finish(run, "python", f"return 'x' * {OVERSIZE_BYTES}", kept=Kept(), oversize=True)
    assert (finished.outcome, finished.error.reason) == (Outcome.OUTPUT_LIMIT, "OUTPUT_LIMIT")
    assert finished.error.metadata["limit"] == f"{OVERSIZE_BYTES} bytes"


@pytest.mark.jail
@pytest.mark.parametrize("tier", ["slots"], indirect=True)
async def test_what_cannot_be_stored_is_said(run: Run) -> None:
    class Full(Kept):
        async def save(self, *_: Any) -> Any:
            raise ResourceExhausted("no room", reason="FILE_QUOTA", fix="delete some")

    finished = await finish(run, "python", ROWS["python"], kept=Full(), oversize=True)
    assert (finished.outcome, finished.error.reason, finished.error.fix) == (
        Outcome.DENIED,
        "FILE_QUOTA",
        "delete some",
    )


@pytest.mark.jail
@pytest.mark.parametrize("tier", ["slots"], indirect=True)
async def test_no_secret_is_in_it(run: Run) -> None:
    kept = Kept()
    # The upstream gives the secret in two halves, neither of which is one.
    half = len(SECRET) // 2
    body = """
page = (await self.fetch('https://api.example.com/')).json()
return [{'text': page['a'] + page['b']}] + [{'text': 'x' * 200} for n in range(8000)]
"""
    async with Upstream(lambda _: json_answer({"a": SECRET[:half], "b": SECRET[half:]})) as api:
        finished = await finish(run, "python", body, {"api.example.com": api}, kept=kept, oversize=True)
    ((_, _, data),) = kept.saved.values()
    assert b'{"text": "[secret API_KEY]"}' in data
    assert finished.output["preview"][0] == {"text": "[secret API_KEY]"}


PROBE = {
    "id": "probe",
    "name": "Probe",
    "version": "1.0.0",
    "actions": [{"id": "get", "name": "Get"}],
    "integration": {"endpoint": "https://api.example.com/", "headers": {"Authorization": "Bearer ${API_KEY}"}},
    "configuration": [{"key": "API_KEY", "type": "secret", "required": True}],
    "permissions": ["network.http.get"],
}


@pytest.mark.parametrize("mapping", [{}, {"rows": "data"}])
async def test_an_http_answer_becomes_a_file(run: Run, mapping: dict[str, str]) -> None:
    kept = Kept()
    rows = [{"n": n, "x": "y" * 100} for n in range(20_000)]
    manifest = {**PROBE, "integration": {**PROBE["integration"], "response_mapping": mapping}}
    async with Upstream(lambda _: json_answer(rows)) as api, client_of({}):
        finished = await finish(run, "", manifest, {"api.example.com": api}, kept=kept, oversize=True)
    assert finished.error is None, finished.error
    assert finished.output_in_file
    ((name, _, data),) = kept.saved.values()
    assert name == "get.json"
    assert len(data) > 2 * 1024 * 1024
    assert json.loads(data) == ({"rows": rows} if mapping else rows)


@pytest.mark.parametrize(("count", "oversize"), [(20_000, False), (90_000, True)])
async def test_an_http_answer_that_is_larger_says_what_to_do(run: Run, count: int, oversize: bool) -> None:
    kept = Kept()
    rows = [{"n": n, "x": "y" * 100} for n in range(count)]
    async with Upstream(lambda _: json_answer(rows)) as api, client_of({}):
        finished = await finish(run, "", PROBE, {"api.example.com": api}, kept=kept, oversize=oversize)
    assert finished.error is not None
    assert (finished.error.reason, "oversize" in finished.error.fix) == ("RESPONSE_TOO_LARGE", not oversize)
    assert kept.saved == {}


def test_what_stands_for_it_is_small_whatever_it_is() -> None:
    deep: Any = "x" * 1000
    for _ in range(20):
        deep = {f"{n}" * 300: deep for n in range(3)} if isinstance(deep, list) else [deep] * 100
    wide: Any = "x" * 1000
    for _ in range(4):
        wide = {f"{n}" * 300: wide for n in range(100)}
    for value in (deep, wide, [wide] * 100):
        assert len(json.dumps(preview_of(value))) < 100_000
        assert len(json.dumps(schema_of(value))) < 100_000


def test_the_schema_is_that_of_the_beginning() -> None:
    assert schema_of([]) == {"type": "array"}
    assert schema_of({"a": True, "b": 1.5, "c": None}) == {
        "type": "object",
        "properties": {"a": {"type": "boolean"}, "b": {"type": "number"}, "c": {"type": "null"}},
    }
