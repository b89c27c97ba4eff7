"""How a run in the jail ended becomes an output, or an error with its reason, place and facts."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from executor.brokers import broker_of, client_of
from hardpoint_executor import domain
from hardpoint_executor.artifacts import Code
from hardpoint_executor.broker.broker import Broker
from hardpoint_executor.runners.code import CodeRunner
from hardpoint_kit.errors import ActionFailed, DeadlineExceeded, InvalidArgument
from hardpoint_manifest.authority import Authority
from jail.programs import PYTHON_HEADER, execution, python


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with client_of({}) as client:
        yield broker_of(client, secrets={"API_KEY": "value"})


async def run(jails, broker: Broker, body: str, schema=None, **limits):
    call = python(body)
    authority = Authority.of({"data.read"})
    asked = execution(call, output_schema=schema or {}, input={"n": 1}, authority=authority)
    events: asyncio.Queue[domain.Event] = asyncio.Queue()
    code = Code(call.language, call.source)
    ran = await CodeRunner(jails).run(code, asked, {"unit": "C"}, broker, domain.Limits(**limits), events.put_nowait)
    return ran, [events.get_nowait() for _ in range(events.qsize())]


async def test_an_output_comes_with_its_events_and_usage(jails, broker: Broker) -> None:
    body = "self.log('a'); self.progress(0.5)\nreturn [input, dict(self.config), list(self.permissions)]"
    ran, events = await run(jails, broker, body)
    assert ran.error is None
    assert ran.output == [{"n": 1}, {"unit": "C", "API_KEY": broker.secrets.handles["API_KEY"]}, ["data.read"]]
    assert "value" not in repr(ran.output)
    assert events == [domain.Started("code/python"), domain.Log("info", "a"), domain.Progress(0.5, "")]
    assert ran.usage.wall_ms > 0


@pytest.mark.parametrize(
    ("body", "limits", "kind", "reason", "facts"),
    [
        ("raise KeyError('x')", {}, ActionFailed, "USER_ERROR", {"name": "KeyError"}),
        ("while True: pass", {"wall_seconds": 0.2}, DeadlineExceeded, "TIMEOUT", {"limit": "0.2 s"}),
        (
            "return len(bytearray(1 << 30))",
            {},
            ActionFailed,
            "MEMORY",
            {"name": "MemoryError", "limit": "134217728 bytes"},
        ),
        ("import ctypes; ctypes.string_at(1, 8)", {}, ActionFailed, "CRASH", {"signal": "SIGSEGV"}),
        ("import os; os._exit(0)", {}, ActionFailed, "PROTOCOL", {}),
        ("return 'A' * 5000", {"output_bytes": 1000}, ActionFailed, "OUTPUT_LIMIT", {"limit": "1000 bytes"}),
        ("print('A' * 5000)", {"output_bytes": 1000}, ActionFailed, "OUTPUT_LIMIT", {"limit": "1000 bytes"}),
        ("return [[]] * 60_000", {}, ActionFailed, "OUTPUT_LIMIT", {"limit": "50000 lists and objects"}),
        ("while True: self.log('x')", {}, ActionFailed, "BUDGET", {"budget": "log_bytes"}),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isupper() else "",
)
async def test_every_other_end_is_an_error_with_its_reason(
    jails, broker: Broker, body: str, limits: dict, kind: type, reason: str, facts: dict
) -> None:
    ran, _ = await run(jails, broker, body, **limits)
    assert isinstance(ran.error, kind)
    assert (ran.error.reason, ran.error.metadata) == (reason, facts)
    assert ran.usage.wall_ms > 0, "what a failed run used is metered too"


async def test_a_violation_names_its_system_call_where_the_kernel_tells_it(jails, broker: Broker, tier: str) -> None:
    ran, _ = await run(jails, broker, "import ctypes; ctypes.CDLL(None).ptrace(0, 0, 0, 0)")
    assert isinstance(ran.error, ActionFailed)
    assert ran.error.reason == "VIOLATION"
    assert ran.usage.wall_ms > 0
    if tier == "slots":
        assert ran.error.metadata == {"syscall": "ptrace"}
        assert "called ptrace, which no plugin may: it looks into other processes" in ran.error.message
        assert ran.error.fix == "take out what calls ptrace, or the library that does"
    else:
        assert (ran.error.metadata, ran.error.fix) == ({"signal": "SIGSYS"}, "")
        assert "is not known here" in ran.error.message


async def test_an_error_of_the_author_names_his_line(jails, broker: Broker) -> None:
    ran, _ = await run(jails, broker, "raise KeyError('x')")
    assert "KeyError: 'x'" in ran.error.message
    assert ran.error.place == "plugin.py:5:5"


async def test_memory_that_a_line_asked_for_is_refused_with_that_line(jails, broker: Broker) -> None:
    ran, _ = await run(jails, broker, "kept = [bytes(1 << 20)]\nwhile True: kept.append(bytes(1 << 20))")
    assert (ran.error.reason, ran.error.place) == ("MEMORY", "plugin.py:6:29")
    assert ran.error.message == "MemoryError: out of memory"


async def test_an_output_is_held_to_what_is_declared(jails, broker: Broker) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "number"}}, "additionalProperties": False}
    ran, _ = await run(jails, broker, "return {'n': '72'}", schema)
    assert (ran.error.reason, ran.error.place) == ("TYPE_MISMATCH", "outputs.n")
    ran, _ = await run(jails, broker, "return {'n': 72}", schema)
    assert ran.output == {"n": 72}


async def test_a_header_is_read_or_refused_with_its_place(jails) -> None:
    runner = CodeRunner(jails)
    assert await runner.describe("python", PYTHON_HEADER, "x.py") == {"id": "tested", "actions": []}
    with pytest.raises(InvalidArgument, match="SyntaxError") as refused:
        await runner.describe("javascript", "export default {\n  async actions: {} };", "x.js")
    assert (refused.value.reason, refused.value.place) == ("HEADER_UNREADABLE", "x.js:2:16")
