"""What authors write and what `this` and `self` offer them, in both languages."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from hardpoint_cli.scaffolds import ENDINGS, scaffold
from hardpoint_executor.jail import Frame, JailCall, Jails, OutcomeKind
from jail.conftest import RecordedDoor
from jail.programs import javascript, python

EXAMPLES = Path(__file__).parents[2] / "examples"
ANALYZER_JS = (EXAMPLES / "custom-data-analyzer.js").read_text()
ANALYZER_PY = (EXAMPLES / "custom_data_analyzer.py").read_text()
FIGURES = {"mean": 22, "median": 3, "stdDev": 43.617656975128774, "outliers": [100]}


def analyze(language: str, kind: str, dataset: str = "1,2,3,4,100") -> JailCall:
    source = ANALYZER_PY if language == "python" else ANALYZER_JS
    filename = "custom_data_analyzer.py" if language == "python" else "custom-data-analyzer.js"
    return JailCall(language, source, filename, "analyzeDataset", {"dataset": dataset, "analysisType": kind})


@pytest.mark.parametrize("language", ["python", "javascript"])
@pytest.mark.parametrize("dataset", ["1,2,3,4,100", "1\n2\n3\n4\n100", "value\n1\n2\n3\n4\n100\n"])
async def test_the_analyzer_and_its_twin_give_the_same_figures(jails, door, language: str, dataset: str) -> None:
    assert (await jails.run(analyze(language, "statistical", dataset), door)).value == FIGURES


async def test_a_missing_helper_is_an_error_at_the_authors_line(jails: Jails, door: RecordedDoor) -> None:
    outcome = await jails.run(analyze("javascript", "trends"), door)
    assert (outcome.kind, outcome.message) == (OutcomeKind.USER_ERROR, "this.trendAnalysis is not a function")
    line = next(n for n, text in enumerate(ANALYZER_JS.splitlines(), 1) if "this.trendAnalysis" in text)
    assert (outcome.stack[0].file, outcome.stack[0].line) == ("custom-data-analyzer.js", line)


async def test_a_header_is_described_without_its_functions(jails: Jails) -> None:
    described = await jails.describe("javascript", ANALYZER_JS, "custom-data-analyzer.js")
    assert described.value == {
        "id": "data-analyzer",
        "name": "Advanced Data Analyzer",
        "version": "1.0.0",
        "config": {"maxDatasetSize": {"type": "number", "default": 10000, "description": "Maximum rows to process"}},
        "permissions": ["data.read", "compute.moderate"],
        "actions": [
            {"id": "analyzeDataset", "async": True, "declared": True},
            {"id": "statisticalAnalysis", "async": False, "declared": False},
        ],
    }
    twin = (await jails.describe("python", ANALYZER_PY, "custom_data_analyzer.py")).value
    assert [(action["id"], action["declared"]) for action in twin["actions"]] == [("analyzeDataset", True)]
    assert twin["config"] == described.value["config"]


@pytest.mark.parametrize(
    ("actions", "exports", "declared"),
    [
        ("async a() {}, b() {}", "", ["a"]),
        ("a() {}, b() {}", "", ["a", "b"]),
        ("async a() {}, b() {}", "exports: ['b'],", ["b"]),
        ("a: { description: 'A', run() {} }, b() {}, async c() {}", "", ["a", "c"]),
        ("", "", []),
    ],
)
async def test_which_functions_are_declared(jails, door, actions: str, exports: str, declared: list[str]) -> None:
    source = f"export default {{ id: 'x', {exports} actions: {{ {actions} }} }};"
    described = (await jails.describe("javascript", source, "x.js")).value
    assert [action["id"] for action in described["actions"] if action["declared"]] == declared
    for action in ("a", "b", "missing"):
        outcome = await jails.run(JailCall("javascript", source, "x.js", action, {}), door)
        assert outcome.ok if action in declared else outcome.error_name == "ActionNotFound", action


async def test_a_header_with_broken_syntax_names_line_and_column(jails: Jails) -> None:
    broken = await jails.describe("javascript", (EXAMPLES / "custom-db-query.js").read_text(), "custom-db-query.js")
    assert (broken.error_name, broken.message) == ("SyntaxError", "Unexpected token ':'")
    assert broken.stack[0] == Frame("<module>", "custom-db-query.js", 4, 16)
    first = await jails.describe("javascript", "export default { async a: 1 }", "x.js")
    assert (first.stack[0].line, first.stack[0].column) == (1, 25)
    with_import = "import fs from 'node:fs';\nexport const a = 1;\nexport default {\n  b: (,) };\n"
    assert (await jails.describe("javascript", with_import, "x.js")).stack[0].line == 4
    snake = await jails.describe("python", "x = 1\nif x:\nprint(x)\n", "x.py")
    assert (snake.error_name, snake.stack[0]) == ("IndentationError", Frame("<module>", "x.py", 3, 1))


@pytest.mark.parametrize(
    ("language", "source", "name"),
    [
        ("javascript", "export const a = 1;", "NoHeader"),
        ("javascript", "export default null;", "NoHeader"),
        ("javascript", "import x from 'left-pad'; export default { x };", "ImportRefused"),
        ("javascript", "throw new RangeError('early');", "RangeError"),
        ("javascript", "export default { n: 10n };", "TypeError"),
        ("javascript", "await fetch('https://x.example/'); export default {};", "BrokerError"),
        ("python", "a = 1", "NoHeader"),
        ("python", "import requests", "ModuleNotFoundError"),
        ("python", "from hardpoint_sdk import capability\ncapability(id={1})", "TypeError"),
        ("python", "from hardpoint_sdk import capability\ncapability(id='a')\ncapability(id='b')", "ValueError"),
    ],
)
async def test_a_module_without_a_readable_header_says_why(jails, language: str, source: str, name: str) -> None:
    described = await jails.describe(language, source, "x")
    assert (described.kind, described.error_name) == (OutcomeKind.USER_ERROR, name)


FETCHES = {
    "python": """
page = await self.fetch("https://a.example/x", method="post", headers={"X-A": "1"}, json={"b": [1]})
return [page.ok, page.status, page.headers["content-type"], page.json(), page.text]
""",
    "javascript": """
const page = await this.fetch('https://a.example/x', { method: 'post', headers: { 'X-A': '1' }, body: { b: [1] } });
return [page.ok, page.status, page.headers.get('content-type'), await page.json(), await page.text()];
""",
}


def call_of(language: str, body: str, **rest: Any) -> JailCall:
    return (python if language == "python" else javascript)(body, **rest)


@pytest.mark.parametrize("language", FETCHES)
async def test_fetch_goes_through_the_broker(jails, door, language: str) -> None:
    outcome = await jails.run(call_of(language, FETCHES[language]), door)
    assert outcome.value == [
        True,
        200,
        "application/json",
        {"url": "https://a.example/x"},
        '{"url": "https://a.example/x"}',
    ]
    arguments = {"url": "https://a.example/x", "headers": {"X-A": "1"}, "body": {"b": [1]}}
    assert door.asked == [("fetch", "POST", arguments)]
    assert outcome.broker_calls == 1


REFUSED = {
    "python": """
try:
    await self.fetch('https://refuse.example/')
except Exception as error:
    return [type(error).__name__, error.code, str(error)]
""",
    "javascript": """
try {
  await this.fetch('https://refuse.example/');
} catch (error) {
  return [error.name, error.code, error.message];
}
""",
}
MANY = {
    "python": """
import asyncio
pages = await asyncio.gather(*(self.fetch(f'https://a.example/{n}') for n in range(5)))
return [page.json()['url'][-1] for page in pages]
""",
    "javascript": """
const pages = await Promise.all([0, 1, 2, 3, 4].map((n) => fetch(`https://a.example/${n}`)));
return Promise.all(pages.map(async (page) => (await page.json()).url.at(-1)));
""",
}


@pytest.mark.parametrize("language", REFUSED)
async def test_a_refusal_is_an_exception_with_its_code(jails, door, language: str) -> None:
    outcome = await jails.run(call_of(language, REFUSED[language]), door)
    message = "HOST_NOT_GRANTED: host refuse.example is not granted"
    assert outcome.value == ["BrokerError", "HOST_NOT_GRANTED", message]


@pytest.mark.parametrize("language", MANY)
async def test_many_fetches_may_be_open_at_once(jails, door, language: str) -> None:
    assert (await jails.run(call_of(language, MANY[language]), door)).value == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("language", "body"),
    [
        ("python", "return [dict(self.config), list(self.permissions)]"),
        ("javascript", "return [this.config, this.permissions];"),
    ],
    ids=["python", "javascript"],
)
async def test_settings_and_handles_of_secrets_are_the_config(jails, door, language: str, body: str) -> None:
    given = {"settings": {"limit": 5}, "secrets": {"API_KEY": "secret://API_KEY#n"}, "permissions": ("data.read",)}
    outcome = await jails.run(call_of(language, body, **given), door)
    assert outcome.value == [{"limit": 5, "API_KEY": "secret://API_KEY#n"}, ["data.read"]]


async def test_helpers_and_actions_are_reached_through_this(jails, door) -> None:
    source = """
    import { createHash } from 'node:crypto';
    export default { id: 'x', helper() { return this.utils.sum([1, 2]); }, actions: {
      async act(input) { return [this.helper(), this.own(), await this.actions.other(4), typeof process, typeof require,
        createHash('sha256').update('a').digest('hex').slice(0, 4)]; },
      own() { return this.helper() * 2; },
      async other(n) { return n + this.helper(); },
    } };"""
    outcome = await jails.run(JailCall("javascript", source, "x.js", "act", {}), door)
    assert outcome.value == [3, 6, 7, "undefined", "undefined", "ca97"]


async def test_a_python_class_keeps_its_own_methods_and_inherits_actions(jails, door) -> None:
    source = """
from hardpoint_sdk import action, capability
class Base:
    @action
    def shared(self, input):
        return self.helper() + 1
@capability(id="x", name="X")
class Plugin(Base):
    def helper(self):
        return self.utils.sum([1, 2])
    @action(description="Acts", effect="read")
    async def act(self, input):
        return [self.helper(), self.shared(input)]
"""
    assert (await jails.run(JailCall("python", source, "x.py", "act", {}), door)).value == [3, 4]
    assert (await jails.run(JailCall("python", source, "x.py", "shared", {}), door)).value == 4
    helper = await jails.run(JailCall("python", source, "x.py", "helper", {}), door)
    assert helper.message == 'no action "helper"; this capability has: act, shared'
    assert (await jails.describe("python", source, "x.py")).value == {
        "id": "x",
        "name": "X",
        "actions": [
            {"id": "act", "description": "Acts", "effect": "read", "async": True, "declared": True},
            {"id": "shared", "async": False, "declared": True},
        ],
    }


def test_the_sdk_can_be_imported_by_authors_tools() -> None:
    namespace: dict[str, Any] = {}
    exec("from hardpoint_sdk import BrokerError, Plugin, Response, action, capability", namespace)
    page = namespace["Response"]({"status": 404, "headers": {}, "body": "/w==", "encoding": "base64"})
    assert (page.ok, page.body, page.text) == (False, b"\xff", "\ufffd")


@pytest.mark.parametrize("kind", ["python", "javascript"])
async def test_what_new_writes_runs(jails: Jails, door: RecordedDoor, kind: Literal["python", "javascript"]) -> None:
    """Its class says that it is a Plugin, so that editors know `self`; what it is offered comes all the same."""
    call = JailCall(kind, scaffold(kind, "greeter"), f"greeter{ENDINGS[kind]}", "greet", {"name": "Ada"})
    outcome = await jails.run(replace(call, settings={"GREETING": "Hi"}), door)
    assert (outcome.value, outcome.message) == ({"text": "Hi, Ada!"}, "")
