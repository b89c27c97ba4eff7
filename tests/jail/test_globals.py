"""What scripts expect to be global: on QuickJS the same as on Node, as far as it is there at all."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardpoint_executor.jail import JailCall, Jails, OutcomeKind

from .conftest import Program, RecordedDoor
from .programs import javascript, quickjs

pytestmark = pytest.mark.parametrize("tier", ["slots"])
"""Where there are slots, there are both engines."""

PROGRAMS = Path(__file__).parent / "globals"
"""Bodies of actions, each of which has to return the same on both engines."""


async def value(jails: Jails, call: JailCall) -> Any:
    outcome = await jails.run(call, RecordedDoor())
    assert outcome.kind is OutcomeKind.OK, outcome
    return outcome.value


@pytest.mark.parametrize(
    "drawn", ["Math.random()", "crypto.randomUUID()", "[...crypto.getRandomValues(new Uint16Array(8))]"]
)
async def test_no_call_draws_what_another_drew(jails: Jails, program: Program, drawn: str) -> None:
    """Calls of one slot begin as copies of one engine, with one seed."""
    header = f"{{ id: 'tested', actions: {{ act() {{ return [early, {drawn}]; }} }} }}"
    source = f"const early = {drawn};\nexport default {header};"
    call = program("")
    whole = JailCall("javascript", source, "plugin.js", "act", {}, engine=call.engine, org="acme", capability="tested")
    draws = [draw for _ in range(3) for draw in await value(jails, whole)]
    assert len({str(draw) for draw in draws}) == 6


async def test_random_numbers_are_spread_evenly(jails: Jails, program: Program) -> None:
    body = """
const counts = new Array(16).fill(0);
let [sum, least, most] = [0, 1, 0];
for (let n = 0; n < 16000; n += 1) {
  const x = Math.random();
  counts[Math.floor(x * 16)] += 1;
  [sum, least, most] = [sum + x, Math.min(least, x), Math.max(most, x)];
}
return { counts, mean: sum / 16000, least, most };
"""
    drawn = await value(jails, program(body))
    assert all(800 < count < 1200 for count in drawn["counts"]), drawn
    assert 0.48 < drawn["mean"] < 0.52
    assert 0 <= drawn["least"] < 0.01
    assert 0.99 < drawn["most"] < 1


async def test_a_uuid_is_one(jails: Jails, program: Program) -> None:
    text = await value(jails, program("return crypto.randomUUID();"))
    assert uuid.UUID(str(text)).version == 4
    assert str(uuid.UUID(str(text))) == text


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("crypto.getRandomValues(new Float64Array(1));", "TypeMismatchError"),
        ("crypto.getRandomValues(new Uint8Array(65537));", "QuotaExceededError"),
    ],
)
async def test_what_cannot_be_filled_is_refused(jails: Jails, program: Program, body: str, name: str) -> None:
    assert (await jails.run(program(body), RecordedDoor())).error_name == name


URLS = [
    "https://a.example",
    "HTTPS://User:p%40ss@A.Example:443/x/./y/../z/?q=1 2&r='#frag ment",
    "http://a.example:8080/%2e%2E/a//b/%zz?ü=ö&&=x#é`",
    "http://a.example:80",
    "https:a.example/x",
    "https:\\\\a.example\\x\\..\\y",
    " \t https://a.example/a\nb ",
    "https://a_b.example./",
    "https://127.0.0.1:65535/",
    "https://a.example/\ud83d?\udc00#\ud83d\ude00",
    'https://a.example/^|`{}<>"[]~!$&*()+,;=@:?^|`{}<>"[]\\#^|`{}<>"',
    "https://a.example?",
    "https://a.example#",
    "https://a.example/..",
    "https://a.example/x/../",
    "https://u@a.example/",
    "https://:p@a.example/",
    "https://a@b@a.example/",
    "",
    "/x",
    "https://",
    "https://a example/",
    "https://a.example:70000/",
    "https://a.example:8a/",
    "https://[::1]x/",
    "https://1.2.3.256/",
]
RELATIVE = [
    "",
    "x",
    "./x",
    "../x",
    "../../../x",
    "/x?q",
    "//b.example/y",
    "?q",
    "#f",
    "x?q#f",
    "\\x",
    "https:y",
    "..",
    ".",
]
REFUSED = [
    "https://a..example/",
    "mailto:a@b.example",
    "data:text/plain,x",
    "file:///etc",
    "ws://a.example/",
    "https://müller.example/",
    "https://xn--mller-kva.example/",
    "https://[::1]/",
    "https://0x7f.1/",
    "https://2130706433/",
    "https://127.1/",
]
PARTS = """
const parts = ['href', 'origin', 'protocol', 'username', 'password', 'host', 'hostname', 'port'];
parts.push('pathname', 'search', 'hash');
const read = (url, base) => {
  try {
    const found = new URL(url, base);
    return [...parts.map((part) => found[part]), [...found.searchParams].flat(), JSON.stringify(found), `${found}`];
  } catch (error) {
    return [error.name, error.code, error.message.slice(0, 11)];
  }
};
return input.map(([url, base]) => read(url, base));
"""


async def on_both(jails: Jails, body: str, input: object) -> tuple[Any, Any]:
    """What each engine says of the same, Node first."""
    return await value(jails, javascript(body, input)), await value(jails, quickjs(body, input))


async def test_urls_are_read_as_under_node(jails: Jails) -> None:
    urls = [[url] for url in URLS] + [[url, "https://u:p@a.example:8443/b/c/d?e=f#g"] for url in RELATIVE]
    node, quick = await on_both(
        jails, PARTS, [[part.encode(errors="replace").decode() for part in url] for url in urls]
    )
    for url, wanted, found in zip(urls, node, quick, strict=True):
        assert found == wanted, url


async def test_what_is_not_read_on_quickjs_is_refused_there(jails: Jails) -> None:
    node, quick = await on_both(jails, PARTS, [[url] for url in REFUSED])
    assert quick == [["TypeError", "ERR_INVALID_URL", "Invalid URL"]] * len(REFUSED)
    assert [found for found in node if found[0] == "TypeError"] == []


urls = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["https://", "http://", "https:", "http:/", "//", "/", "", "ftp://", "HTTP:\\\\"]),
        st.text("ab.-_@:%2eE0 ü[x]9/", max_size=12),
        st.text("/.%2eE\\ab?#&=+ '\"<>`{}|^~é\u20ac\U0001f600\t", max_size=20),
    ),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(urls, min_size=1, max_size=2), min_size=100, max_size=150))
async def test_no_url_is_read_in_another_way_than_under_node(jails: Jails, urls: list[list[str]]) -> None:
    """A URL is either refused on QuickJS, or read as it is on Node."""
    node, quick = await on_both(jails, PARTS, urls)
    for url, wanted, found in zip(urls, node, quick, strict=True):
        assert found in (wanted, ["TypeError", "ERR_INVALID_URL", "Invalid URL"]), url


@pytest.mark.parametrize("name", sorted(path.stem for path in PROGRAMS.glob("*.js")))
async def test_what_is_there_does_as_under_node(jails: Jails, name: str) -> None:
    node, quick = await on_both(jails, (PROGRAMS / f"{name}.js").read_text(), {})
    assert quick == node


async def test_form_parameters_are_sent_as_a_form(jails: Jails, program: Program) -> None:
    door = RecordedDoor()
    body = "await fetch('https://a.example/', { method: 'POST', body: new URLSearchParams({ a: 'b c' }) });"
    assert (await jails.run(program(body), door)).kind is OutcomeKind.OK
    [(_, _, asked)] = door.asked
    assert (asked["body"], asked["headers"]) == ("a=b+c", {"content-type": "application/x-www-form-urlencoded"})


@given(st.lists(st.binary(max_size=12), min_size=50, max_size=80))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_bytes_are_decoded_as_under_node(jails: Jails, all_bytes: list[bytes]) -> None:
    body = "const decoder = new TextDecoder(); return input.map((bytes) => decoder.decode(Uint8Array.from(bytes)));"
    node, quick = await on_both(jails, body, [list(each) for each in all_bytes])
    assert quick == node
