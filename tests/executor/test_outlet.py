"""What leaves an execution: its output, its lines and its error hold no secret that an upstream repeated."""

import asyncio
import codecs
import json
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.conftest import SECRET, Run
from executor.spellings import ENCODINGS
from executor.upstream import Upstream, answer
from hardpoint_executor.broker.outlet import IN_LOOP, Outlet
from hardpoint_executor.broker.scrub import Scrubber, Watched
from hardpoint_executor.domain import Finished, Log, Outcome, Progress
from hardpoint_kit.errors import ActionFailed

WATCHED = [Watched("API_KEY", SECRET)]


async def answered() -> Outlet:
    outlet = Outlet(WATCHED)
    await outlet.answer(b"")
    return outlet


def spells(*texts: str) -> bool:
    return Scrubber(WATCHED).found("".join(texts).encode(errors="replace")) is not None


@pytest.mark.parametrize("name", ENCODINGS)
async def test_no_encoding_leaves(name: str) -> None:
    text = ENCODINGS[name](SECRET).decode("latin-1")
    outlet = await answered()
    try:
        output = await outlet.output({"a": [text], text: 1})
    except ActionFailed as failed:
        output = [failed.message, failed.metadata]
    error = outlet.error(ActionFailed(f"it says {text}", place=text, fix=text, said=text))
    said = [json.dumps(output), outlet.line(f"look: {text}"), error.message, str(error), error.fix, error.place]
    for part in [*said, repr(error.metadata)]:
        assert text not in part
        assert not spells(part), part


async def test_a_secret_in_pieces_does_not_leave() -> None:
    outlet = await answered()
    for pieces in (list(SECRET), [ord(c) for c in SECRET], [{"a": SECRET[:9]}, {"b": SECRET[9:]}]):
        with pytest.raises(ActionFailed) as failed:
            await outlet.output(pieces)
        assert failed.value.reason == "OUTPUT_HOLDS_SECRET"
        assert failed.value.metadata == {"secret": "API_KEY"}
    lines = [outlet.line(character) for character in SECRET]
    assert not spells(*lines)
    assert any("withheld" in line for line in lines)


async def test_a_secret_is_not_cut_in_two_by_what_shortens_a_text() -> None:
    outlet = await answered()
    for before in range(280, 300):
        said = outlet.said("x" * before + SECRET)
        assert len(said) <= 300
        assert SECRET[:4] not in said


async def test_before_the_first_answer_nothing_is_looked_for() -> None:
    outlet = Outlet(WATCHED)
    assert await outlet.output(SECRET) == SECRET
    assert outlet.line(SECRET) == SECRET


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.text(max_size=12) | st.integers(0, len(SECRET)).flatmap(lambda at: st.just(SECRET[at : at + 9])))
)
async def test_lines_together_never_spell_it(lines: list[str]) -> None:
    outlet = await answered()
    said = [outlet.line(line) for line in lines]
    assert not spells(*(line for line in said if "withheld" not in line))


@pytest.mark.jail
@pytest.mark.parametrize("language", ["python", "javascript"])
async def test_a_plugin_that_tries(run: Run, language: str) -> None:
    """An upstream that colludes in a way that nobody knows, and a plugin that makes it plain: nothing leaves."""
    hidden = codecs.encode(SECRET, "rot13").encode()
    plain = {
        "python": "codecs.decode(bytes(b ^ 7 for b in page.body).decode(), 'rot13')",
        "javascript": "unrot([...await page.bytes()].map((b) => String.fromCharCode(b ^ 7)).join(''))",
    }
    body = {
        "python": f"""
import base64, codecs
page = await self.fetch('https://api.example.com/')
secret = {plain["python"]}
assert secret.startswith('can' + 'ary')
self.log(secret); self.log(base64.b64encode(secret.encode()).decode())
print(secret[::-1]); print(secret.encode().hex())
self.progress(0.5, secret)
for c in secret: self.log(c)
if input['how'] == 'error': raise ValueError(secret)
if input['how'] == 'name': raise type(secret, (Exception,), {{}})(secret.upper())
return [secret, {{secret: secret.encode().hex()}}] if input['how'] == 'output' else list(secret)
""",
        "javascript": f"""
const turn = (c) => String.fromCharCode(c.charCodeAt(0) + (c.toLowerCase() < 'n' ? 13 : -13));
const unrot = (s) => s.replace(/[a-z]/gi, turn);
const page = await this.fetch('https://api.example.com/');
const secret = {plain["javascript"]};
if (!secret.startsWith('can' + 'ary')) throw new Error('wrong test: ' + secret.length);
this.log(secret); console.log(Buffer.from(secret).toString('base64')); this.log([...secret].reverse().join('-'));
this.progress(0.5, secret);
for (const c of secret) this.log(c);
if (input.how === 'error') throw new Error(secret);
if (input.how === 'name') throw Object.assign(new Error(secret.toUpperCase()), {{ name: secret }});
return input.how === 'output' ? [secret, {{ [secret]: Buffer.from(secret).toString('hex') }}] : [...secret];
""",
    }
    async with Upstream(lambda _: answer(bytes(b ^ 7 for b in hidden))) as api:
        for how in ("output", "pieces", "error", "name"):
            events = await run(language, body[language], {"api.example.com": api}, input={"how": how})
            finished = events[-1]
            assert isinstance(finished, Finished)
            said = [event.message for event in events if isinstance(event, Log | Progress)]
            assert len(said) > len(SECRET)
            assert not spells(*said)
            assert not spells(json.dumps(finished.output))
            assert not spells(repr(vars(finished.error)) if finished.error else "")
            assert (finished.outcome is Outcome.OK) == (how == "output")


async def test_an_execution_has_one_large_text_searched_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No deadline cuts a search short: with all at once, or those nobody waits for any more, it had every thread."""
    outlet, both, begun = Outlet([Watched("KEY", "v" * 40)]), threading.Barrier(2), asyncio.Event()
    loop = asyncio.get_running_loop()

    def alone(_self: Scrubber, _data: bytes) -> bool:
        loop.call_soon_threadsafe(begun.set)
        try:
            both.wait(timeout=0.2)
        except threading.BrokenBarrierError:
            return True
        return False

    monkeypatch.setattr(Scrubber, "is_clean", alone)
    large = b"x" * (IN_LOOP + 1)
    given_up = asyncio.create_task(outlet.is_clean(large))
    await begun.wait()
    given_up.cancel()
    assert all(await asyncio.gather(outlet.is_clean(large), outlet.is_clean(large)))
