"""Every service of the broker goes to the tape in the place of leaving: nothing of a replay comes outside."""

import base64
import contextlib
import json
from collections.abc import Mapping
from typing import Any

import pytest

from executor.brokers import Place, broker_of, client_of
from executor.kept import Kept
from executor.sockets import talking
from executor.spellings import ENCODINGS
from executor.test_broker_ai import SETTINGS, chat_answer
from executor.upstream import Upstream, answer
from hardpoint_executor.broker.broker import Broker
from hardpoint_executor.broker.databases import Databases
from hardpoint_executor.broker.denial import BrokerDenied
from hardpoint_executor.broker.http import HttpClient
from hardpoint_executor.broker.outlet import Outlet
from hardpoint_executor.broker.scrub import Watched
from hardpoint_executor.broker.tape import Recording, Replaying, Tape
from hardpoint_manifest.cassette import Call, Cassette, Refusal, read, write

URL = "https://api.example.com/v1"
SECRET = "canary-7f3a9c51e2-do-not-sing"
MAIL = {"to": "ada@example.com", "subject": "s", "body": "b"}
ASKS: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    ("fetch", "GET", {"url": URL}),
    ("fetch", "POST", {"url": URL, "body": "x"}),
    ("file", "open", {"file": "orgs/acme/files/a"}),
    ("file", "save", {"name": "a.txt", "data": "aGk=", "encoding": "base64"}),
    ("context", "get", {}),
    ("db", "query", {"sql": "SELECT 1 AS one"}),
    ("db", "insert", {"table": "t", "rows": {"a": 1}}),
    ("db", "update", {"table": "t", "values": {"a": 1}, "where": {"b": 2}}),
    ("db", "delete", {"table": "t", "where": {"b": 2}}),
    ("ai", "chat", {"prompt": "p"}),
    ("ai", "embed", {"texts": ["t"]}),
    ("email", "send", MAIL),
    ("email", "search", {}),
    ("email", "fetch", {"message": "1.1"}),
    ("calendar", "propfind", {"path": "work/"}),
    ("websocket", "open", {"url": "wss://api.example.com/"}),
    ("websocket", "send", {"socket": 1, "data": "x"}),
    ("call", "run", {"action": "a.b", "input": {}}),
)


class Shut:
    """A place that nobody may come to."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a replay came outside: {name}")


def broker(tape: Tape, client: HttpClient | None = None, *, call: Any = None) -> Broker:
    shut: Any = Shut()

    class Closed:
        dialler, tls = shut, None
        send = property(lambda _self: pytest.fail("a replay sent a request"))

    closed: Any = Closed()
    return broker_of(
        client or closed,
        settings={**SETTINGS, "DATABASE_TABLES": "*", "EMAIL_FROM": "bot@example.com"},
        secrets={"AI_KEY": "stands-for-a-key", "DATABASE_URL": "stands-for-it", "SMTP_URL": "stands-for-it-too"},
        kept=Kept(a=b"hello") if client else shut,
        lent=Kept(a=b"hello").lent(),
        databases=None if client else Databases(shut, closed.tls),
        idempotency_key="key",
        tape=tape,
        call=call,
    )


async def reaches_nobody(_action: str, _input: Any) -> Any:
    # Calls go to the tape where callees are known, in `inside.py`.
    raise BrokerDenied("REPLAY_DIVERGED", "taped elsewhere")


@pytest.mark.parametrize(("service", "method", "arguments"), ASKS)
async def test_what_is_not_on_the_tape_is_refused_and_not_done(
    service: str, method: str, arguments: Mapping[str, Any]
) -> None:
    tape = Replaying(Cassette(action="a", input={}, nonce="0" * 32))
    with pytest.raises(BrokerDenied) as denied:
        await broker(tape, call=reaches_nobody).ask(service, method, arguments)
    assert denied.value.code == "REPLAY_DIVERGED"


def test_no_service_is_forgotten() -> None:
    tape = Replaying(Cassette(action="a", input={}, nonce="0" * 32))
    assert {service for service, _, _ in ASKS} == set(broker(tape, call=reaches_nobody)._services)


async def test_a_refusal_that_somebody_wrote_is_still_one() -> None:
    facts = {"self": "x", "code": "x", "message": "x", "fix": "x", "host": "h"}
    call = Call(service="context", method="get", arguments={}, error=Refusal(code="BUDGET", facts=facts))
    with pytest.raises(BrokerDenied) as denied:
        await broker(Replaying(Cassette(action="a", input={}, nonce="0" * 32, calls=(call,)))).ask("context", "get", {})
    assert (denied.value.code, denied.value.facts) == ("BUDGET", {"host": "h"})


async def test_a_cassette_is_spelled_out_once_however_often_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = tuple(Call(service="context", method="get", arguments={"n": n}, answer={}) for n in range(9))
    cassette = Cassette(action="a", input={}, nonce="0" * 32, calls=calls)
    spelled: list[Call] = []
    asked: Any = Call.asked
    monkeypatch.setattr(Call, "asked", property(lambda call: spelled.append(call) or asked.fget(call)))
    tape = Replaying(cassette)
    for number in (*range(20, 23), 5, 0):
        with contextlib.suppress(BrokerDenied):
            await tape.effect("context", "get", {"n": number}, reaches_nobody)  # type: ignore[arg-type]
    assert "call 1" in tape.diverged
    assert len(spelled) == len(calls)


async def test_each_step_is_given_what_it_was_given_whoever_asks_first() -> None:
    one, other = (
        Call(at=at, service="context", method="get", arguments={}, answer={"at": at}) for at in ("one", "two/0")
    )
    tape = Replaying(Cassette(action="a", input={}, nonce="0" * 32, calls=(one, other)))
    given = [await tape.inside(at).effect("context", "get", {}, reaches_nobody) for at in ("two/0", "one")]  # type: ignore[arg-type]
    assert (given, tape.ended()) == ([{"at": "two/0"}, {"at": "one"}], "")
    with pytest.raises(BrokerDenied):
        await tape.inside("one").effect("context", "get", {}, reaches_nobody)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(ENCODINGS))
async def test_no_spelling_of_a_secret_comes_onto_the_tape(name: str) -> None:
    spelt = ENCODINGS[name](SECRET)
    tape = Recording()
    async with Upstream(lambda _: answer(b"you sent " + spelt)) as api, client_of({"api.example.com": api}) as client:
        asking = broker_of(client, secrets={"API_KEY": SECRET}, tape=tape)
        with contextlib.suppress(BrokerDenied):
            await asking.ask("fetch", "GET", {"url": URL, "headers": {"x-key": asking.secrets.handles["API_KEY"]}})
    data = write(Cassette(action="a", input={}, nonce=tape.seed, calls=tape.calls))
    assert b"secret://API_KEY#" in data
    assert await Outlet([Watched("API_KEY", SECRET)]).found_in(json.loads(data)) == ""
    assert spelt not in data
    # As an input or an argument has it: bytes that are no text come as base64.
    try:
        written = {"text": spelt.decode()}
    except UnicodeDecodeError:
        written = {"text": base64.b64encode(spelt).decode()}
    assert await Outlet([Watched("API_KEY", SECRET)]).found_in(written) == "API_KEY"


async def model_and_files(asking: Broker) -> list[Any]:
    return [await asking.ask(*ask) for ask in ASKS if ask[0] in ("context", "file") or ask[1] == "chat"]


async def talk_of_two(asking: Broker) -> list[Any]:
    socket = {"socket": (await asking.ask("websocket", "open", {"url": "wss://api.example.com/"}))["socket"]}
    await asking.ask("websocket", "send", {**socket, "data": "hi"})
    return [await asking.ask("websocket", "receive", socket), await asking.ask("websocket", "close", socket)]


@pytest.mark.parametrize("ask", [model_and_files, talk_of_two])
async def test_what_services_said_they_say_again(ask: Any) -> None:
    tape = Recording()
    async with talking() as talk, Upstream(lambda _: chat_answer()) as api:
        place = Place(talk.place) if ask is talk_of_two else api
        async with client_of({"api.example.com": place}) as client:
            asking = broker(tape, client)
            said = await ask(asking)
            asking.close()
    again = Replaying(read(write(Cassette(action="a", input={}, nonce=tape.seed, calls=tape.calls))))
    assert await ask(broker(again)) == said
    assert again.ended() == ""
