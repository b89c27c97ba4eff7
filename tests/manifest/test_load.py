"""Files that are no document, and where the parts of those that are stand."""

import json

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from hardpoint_manifest.document import Place
from hardpoint_manifest.finding import ManifestError
from hardpoint_manifest.load import MAX_BYTES, is_typescript, language, load, load_code
from manifest.documents import ANALYZER_HEADER, EXAMPLES, analyzer, example, hostile, raised, refused

BOMB = b"a: &a [x, x, x, x]\n" + b"".join(
    b"%c: &%c [*%c, *%c, *%c]\n" % (i, i, i - 1, i - 1, i - 1) for i in range(98, 120)
)


@pytest.mark.parametrize("name", ["weather-capability.yaml", "currency-converter.yaml", "invoice-processor.yaml"])
def test_yaml_says_what_it_says_elsewhere(name):
    assert example(name).data == yaml.safe_load((EXAMPLES / name).read_bytes())


def test_json_says_what_it_says_elsewhere():
    name = "slack-integration.json"
    assert example(name).data == json.loads((EXAMPLES / name).read_bytes())


def test_parts_have_places():
    document = example("weather-capability.yaml")
    assert document.place(("capability", "id")) == Place(3, 3)
    assert document.place(("capability", "actions", 0, "inputs", 0, "type")) == Place(17, 11)
    assert document.place(("capability", "actions", 0, "nowhere")) == document.place(("capability", "actions", 0))
    assert example("slack-integration.json").place(("capability", "endpoints", 1, "method")) == Place(36, 9)


def test_parts_of_a_code_header_have_places():
    document = analyzer()
    assert document.place(("permissions",)) == Place(51, 3)
    assert document.place(("permissions", 1)).line == 51
    assert document.place(("config", "maxDatasetSize", "type")).line == 44
    assert document.place(("actions", 0)).line == 13
    assert document.place(("nowhere", 3)) == Place(1, 1)


def test_python_headers_too():
    source = b'CAPABILITY = {\n    "id": "x",\n    "permissions": ["data.read"],\n}\nasync def run(input):\n    pass\n'
    document = load_code(source, "plugin.py", {"id": "x", "permissions": ["data.read"], "actions": [{"id": "run"}]})
    assert document.media_type == "text/x-python"
    assert document.place(("permissions", 0)).line == 3
    assert document.place(("actions", 0)).line == 5


JAVASCRIPT = b"""// A capability. permissions: none that hurt, version: soon
/* actions: { run(input) } and "data.raed" */
export default {
  id: 'x',
  actions: { async run(input) { const note = `permissions: "data.raed"`; return { note }; } },
  'permissions': ['data.raed'], version: '1.0',
};
"""
PYTHON = b'''"""What it does: permissions= none, version= "1"."""
from hardpoint_sdk import action, capability
ASKED = ["data.raed"]
# permissions=["data.raed"]
@capability(id="x",
            version="1.0", permissions=ASKED)
class X:
    @action(description="permissions=[]")
    def run(self, input): return 1
'''


@pytest.mark.parametrize(
    ("filename", "source", "permissions", "version"),
    [("x.js", JAVASCRIPT, Place(6, 3), Place(6, 33)), ("x.py", PYTHON, Place(6, 28), Place(6, 13))],
)
def test_words_in_comments_and_texts_are_no_parts_of_the_header(filename, source, permissions, version):
    header = {"id": "x", "version": "1.0", "actions": [{"id": "run"}], "permissions": ["data.raed"]}
    document = load_code(source, filename, header)
    assert document.place(("permissions",)) == permissions
    assert document.place(("version",)) == version
    assert document.place(("permissions", 0)).line == 6
    assert document.place(("actions", 0)).line == {"x.js": 5, "x.py": 9}[filename]


def test_typescript_is_javascript_whose_types_must_go_first():
    assert [is_typescript(name) for name in ("a.ts", "A.MTS", "a.js", "ts", "a.ts.js")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert load_code(b"export default {}", "a.ts", {}).is_code


def test_languages():
    assert [language(name) for name in ("a.js", "A.MJS", "a.py", "a.ts", "a.MTS", "a.tsx", "a.yaml", "js")] == [
        "javascript",
        "javascript",
        "python",
        "javascript",
        "javascript",
        None,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("data", "rule", "line", "column"),
    [
        (BOMB, "anchor", 1, 4),
        (b"a: 1\nb: *x\n", "anchor", 2, 4),
        (b"a: 1\nb:\n  c: 1\n  c: 2\n", "duplicate-key", 4, 3),
        (b"a: !!python/object/apply:os.system ['id']\n", "tag", 1, 4),
        (b"a: !x 1\n", "tag", 1, 4),
        (b"x" * (MAX_BYTES + 1), "too-large", 1, 1),
        (b"a: 1\nb: \xff\n", "not-utf8", 2, 4),
        ("a: é".encode("utf-16"), "not-utf8", 1, 1),
        (b"a: 1\nb: \x00\n", "control-character", 2, 4),
        (b"[" * 100_000, "too-deep", 1, 33),
        (b"a: [" + b"1," * 30_000 + b"]", "too-many-parts", 1, 40_001),
        (b"a: " + b"9" * 5000, "number-too-large", 1, 4),
        (b"a: 1e999", "number-too-large", 1, 4),
        (b"a: .inf", "not-finite", 1, 4),
        (b"", "empty", 1, 1),
        (b" \n\n", "empty", 1, 1),
        (b"- a\n- b\n", "not-a-mapping", 1, 1),
        (b"text", "not-a-mapping", 1, 1),
        (b"# only a comment\n", "not-a-mapping", 1, 1),
        (b"a: 1\n---\nb: 2\n", "several-documents", 2, 1),
        (b"1: a\n", "key-not-text", 1, 1),
        (b"a: {{channel}}\n", "key-not-text", 1, 5),
        (b"a: b: c\n", "not-yaml", 1, 5),
        (b"a:\n\t- b\n", "not-yaml", 2, 1),
        (b"a: 'x\n", "not-yaml", 2, 1),
    ],
)
def test_yaml_that_is_no_document(data, rule, line, column):
    finding = refused(data)
    assert (finding.rule, finding.line, finding.column) == (rule, line, column)
    assert finding.fix


@pytest.mark.parametrize(
    ("data", "rule", "line", "column"),
    [
        (b'{"a": 1,\n "a": 2}', "duplicate-key", 2, 2),
        (b'{"a": {"b": 1, "\\u0062": 2}}', "duplicate-key", 1, 16),
        (b'{"a": NaN}', "not-json", 1, 7),
        (b'{"a": Infinity}', "not-json", 1, 7),
        (b'{"a": 1}\n x', "not-json", 2, 2),
        (b'{"a": 1,}', "not-json", 1, 9),
        (b'{"a": [1,]}', "not-json", 1, 10),
        (b"{'a': 1}", "not-json", 1, 2),
        (b'{"a": 1 // c\n}', "not-json", 1, 9),
        (b'{"a": "\\ud800"}', "not-json", 1, 7),
        (b'{"a": "x\ny"}', "not-json", 1, 7),
        (b'{"a": 01}', "not-json", 1, 7),
        (b'{"a"', "not-json", 1, 5),
        (b'{"a": [}', "not-json", 1, 8),
        (b'{"a": 1e999}', "number-too-large", 1, 7),
        (b'{"a": ' + b"9" * 30 + b"}", "number-too-large", 1, 7),
        (b'{"a":' * 100_000, "too-deep", 1, 161),
        (b"[1]", "not-a-mapping", 1, 1),
        (b"\n", "empty", 1, 1),
    ],
)
def test_json_that_is_no_document(data, rule, line, column):
    finding = refused(data, "capability.json")
    assert (finding.rule, finding.line, finding.column) == (rule, line, column)
    assert finding.fix


def test_findings_have_a_fix():
    assert refused(b"a: {{channel}}\n").fix == 'put a template in quotes: "{{channel}}"'
    assert refused(b'{"a": 1,}', "x.json").fix == "remove the comma before it"
    assert "first is in line 1" in refused(b"a: 1\na: 2\n").message
    assert refused(b"a", "notes.txt").rule == "unknown-file-type"


def test_plain_words_follow_yaml_1_2():
    text = b"a: no\nb: 1:30\nc: 2020-01-01\nd: 0x10\ne: yes\nf: ~\ng: True\nh: -1.5e3\ni: '7'\nj: <<\n"
    assert load(text, "x.yaml").data == {
        "a": "no",
        "b": "1:30",
        "c": "2020-01-01",
        "d": "0x10",
        "e": "yes",
        "f": None,
        "g": True,
        "h": -1500.0,
        "i": "7",
        "j": "<<",
    }


def test_a_byte_order_mark_is_passed_over():
    assert load(b"\xef\xbb\xbfa: 1", "x.yaml").data == {"a": 1}


KEYS = st.text(min_size=1, max_size=5)
DATA = st.dictionaries(
    KEYS,
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63) + 1, 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda parts: st.lists(parts, max_size=3) | st.dictionaries(KEYS, parts, max_size=3),
        max_leaves=10,
    ),
)


@given(DATA, st.sampled_from([None, 2]), st.booleans())
def test_any_json_is_read_as_the_standard_decoder_reads_it(data, indent, ascii_only):
    text = json.dumps(data, indent=indent, ensure_ascii=ascii_only)
    assume("\x7f" not in text)  # a control character that JSON allows and files of ours do not
    document = load(text.encode(), "x.json")
    assert document.data == data
    assert set(document.places) == set(_paths(data, ()))


def _paths(data, path):
    yield path
    if isinstance(data, dict | list):
        for key, part in data.items() if isinstance(data, dict) else enumerate(data):
            yield from _paths(part, (*path, key))


@given(st.binary(max_size=200), st.sampled_from(["x.yaml", "x.json"]))
def test_any_bytes_are_read_or_refused_with_a_place(data, filename):
    error = raised(ManifestError, load, data, filename)
    assert error is None or all(finding.line >= 1 and finding.column >= 1 for finding in error.findings)


@given(st.text(alphabet="{}[],:'\"-#&*!|>%@ \n\tab01.", max_size=60), st.sampled_from(["x.yaml", "x.json"]))
def test_any_notation_is_read_or_refused(text, filename):
    error = raised(ManifestError, load, text.encode(), filename)
    assert error is None or error.findings[0].message


@pytest.mark.parametrize("header", [{"id": object()}, {"a": {1: 2}}, {"a": [[[]]] * 30_000}])
def test_headers_that_are_no_data_are_refused(header):
    with pytest.raises(ManifestError):
        load_code(b"export default {}", "x.js", header)


def test_places_are_found_in_one_pass():
    """Twenty thousand keys in a file of one megabyte: a search for each would take minutes."""
    source = ("x: 'y', " * 130_000).encode()
    header = {f"key{number}": f"value{number}" for number in range(15_000)}
    assert load_code(source, "x.js", header).place(("key1",)) == Place(1, 1)


@pytest.mark.parametrize("corpus", ["files", "code"])
def test_hostile_files_end_within_bounds(corpus):
    assert hostile(corpus) == ""


def test_the_header_of_the_example_is_the_one_of_the_file():
    text = (EXAMPLES / "custom-data-analyzer.js").read_text()
    assert all(action["id"] in text for action in ANALYZER_HEADER["actions"])
    assert all(permission in text for permission in ANALYZER_HEADER["permissions"])
