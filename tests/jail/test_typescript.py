"""TypeScript: types are taken out in a jail, and nothing that is said about the code moves by a column."""

import json
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executor.brokers import client_of
from executor.kept import Kept
from executor.test_service import EXECUTION, Config
from hardpoint_executor.artifacts import Code, Programs
from hardpoint_executor.domain import Artifact
from hardpoint_executor.jail import Frame, JailCall, Jails, OutcomeKind
from hardpoint_executor.runners.code import CodeRunner
from hardpoint_executor.service import Executor
from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.errors import InvalidArgument
from jail.shared import SharedJails

GREETER = """\
import type { Nothing } from './elsewhere';
interface Named { name: string; title?: string }
type Greeting = { text: string };
const é: string = 'é', mark = '!' as const;

export default {
  id: 'greeter', version: '1.0.0',
  actions: {
    async greet(input: Named): Promise<Greeting> {
      const title: string = input.title!; return { text: title.trim() + input.name + mark };
    },
  },
} satisfies object;
"""


@pytest.fixture
async def jails(shared_jails: SharedJails) -> Jails:
    """Of one tier: Node alone reads TypeScript, and has an nsjail for every call in either."""
    return await shared_jails.of("slots")


class Artifacts:
    def __init__(self, source: str) -> None:
        self.source = source

    async def read(self, digest: str, ticket: str) -> bytes:
        return self.source.encode()


async def execute(jails: Jails, source: str, **input: object):
    """Run `greet` of a file greeter.ts as the runtime would ask for it; how it finished."""
    artifact = Artifact("sha256:0", "greeter.ts", "ticket")
    async with client_of({}) as http:
        executor = Executor(Artifacts(source), Config(), jails, http, SystemClock(), EXECUTION.limits, files=Kept())
        asked = {"artifact": artifact, "action": "greet", "input": input}
        execution = type(EXECUTION)(**{name: getattr(EXECUTION, name) for name in EXECUTION.__slots__} | asked)
        return [event async for event in executor.execute(SYSTEM("acme"), execution)][-1]


async def test_a_header_in_typescript_is_described(jails) -> None:
    described = await jails.describe("javascript", GREETER, "greeter.ts")
    assert described.value == {
        "id": "greeter",
        "version": "1.0.0",
        "actions": [{"id": "greet", "async": True, "declared": True}],
    }


@pytest.mark.parametrize("filename", ["greeter.ts", "greeter.mts", "GREETER.TS"])
async def test_what_is_stripped_runs_and_has_every_line_and_column_of_the_source(jails, door, filename: str) -> None:
    source = await CodeRunner(jails).strip(GREETER, filename)
    assert [len(line) for line in source.splitlines()] == [len(line) for line in GREETER.splitlines()]
    call = JailCall("javascript", source, filename, "greet", {"name": "Ada", "title": "Lady "})
    assert (await jails.run(call, door)).value == {"text": "LadyAda!"}


async def test_an_error_names_the_authors_line_and_column(jails) -> None:
    finished = await execute(jails, GREETER, name="Ada")
    line = next(number for number, text in enumerate(GREETER.splitlines(), 1) if "title.trim" in text)
    column = GREETER.splitlines()[line - 1].index("trim") + 1
    assert finished.error.reason == "USER_ERROR"
    assert finished.error.place == f"greeter.ts:{line}:{column}"


@pytest.mark.parametrize(
    ("source", "place", "words", "fix"),
    [
        ("const a = 1;\n  enum E { A }\n", "2:3", "enum is not supported", "write an object"),
        ("let a;\t\tenum E { A }", "1:9", "enum", "write an object"),
        ("const a = '漢字漢字'; enum E { A }", "1:19", "enum", "write an object"),
        ("enum E {\n  A,\n  B\n}", "1:1", "enum", "write an object"),
        ("namespace N { export const a = 1 }", "1:1", "namespace", "plain constants"),
        ("class C {\n  constructor(private a: string) {}\n}", "2:23", "parameter property", "declare the field"),
        ("const a = 'é'; let b = <string>a;", "1:24", "angle-bracket", "nothing is compiled"),
        ("import fs = require('fs')", "1:1", "import equals", "node:"),
        ("export = 3", "1:1", "export assignment", "export default"),
        ("let x: = 3;", "1:8", "Unexpected token", "must parse"),
    ],
)
async def test_what_cannot_be_stripped_is_refused_with_its_place_and_what_to_write(
    jails, source: str, place: str, words: str, fix: str
) -> None:
    runner = CodeRunner(jails)
    for read in (runner.strip, partial(runner.describe, "javascript")):
        with pytest.raises(InvalidArgument, match=words) as refused:
            await read(source, "x.ts")
        assert (refused.value.reason, refused.value.place) == ("HEADER_UNREADABLE", f"x.ts:{place}")
        assert fix in refused.value.fix


@pytest.mark.parametrize("source", ["(" * 200_000, "let a: " + "Array<" * 100_000, "a?" * 200_000, "`${" * 100_000])
async def test_what_is_nested_without_end_is_refused_in_words(jails, source: str) -> None:
    with pytest.raises(InvalidArgument, match="nested too deep") as refused:
        await CodeRunner(jails).strip(source, "x.ts")
    assert refused.value.place == "x.ts:1:1"


async def test_typescript_is_an_error_where_javascript_is_promised(jails) -> None:
    """The ending decides, as everywhere: nothing guesses."""
    described = await jails.describe("javascript", GREETER, "greeter.js")
    assert (described.kind, described.error_name) == (OutcomeKind.USER_ERROR, "SyntaxError")


async def test_stripping_runs_nothing(jails) -> None:
    source = "while (true) {}\nconst a: number = 1;"
    assert (await CodeRunner(jails).strip(source, "x.ts")).startswith("while (true) {}\n")


async def test_an_artifact_is_stripped_once_however_often_it_is_called() -> None:
    stripped = []

    async def strip(source: str, filename: str, org: str) -> str:
        stripped.append(filename)
        return source.upper()

    programs = Programs(Artifacts("let a"), SystemClock(), strip)
    for _ in range(3):
        assert await programs.get(Artifact("sha256:0", "a.ts", ""), "acme") == Code("javascript", "LET A")
    assert await programs.get(Artifact("sha256:0", "a.js", ""), "acme") == Code("javascript", "let a")
    assert stripped == ["a.ts"]


async def test_a_file_as_large_as_one_may_be_is_stripped_or_refused_in_words(jails) -> None:
    runner = CodeRunner(jails)
    line = "export const a%07d: number = 1;\n"
    largest = "".join(line % number for number in range(1_000_000 // len(line % 0)))
    assert len(await runner.strip(largest, "x.ts")) == len(largest)
    with pytest.raises(InvalidArgument, match="has more than"):
        await runner.strip('"' + "\\" * (1024 * 1024 - 20) + '";', "x.ts")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\u2028\u2029"), max_size=30)
)
async def test_any_text_before_a_fault_leaves_its_column_right(jails, words: str) -> None:
    literal = json.dumps(words, ensure_ascii=False)
    source = f"const a: string = {literal}; (null as any).x; export default {{ id: 'a', actions: {{}} }};"
    described = await jails.describe("javascript", source, "x.ts")
    column = len(source[: source.index(".x;")].encode("utf-16-le")) // 2 + 2
    assert described.stack[0] == Frame("<module>", "x.ts", 1, column)
