"""Providers that misbehave: what is no answer is refused, in time, and repeated to nobody."""

from collections.abc import Callable
from threading import Event
from typing import Any

import pytest

from config.connections.conftest import Parties, refused
from hardpoint_kit.errors import Unavailable

ANSWERS: dict[str, Callable[[], Any]] = {
    "100 MB": lambda: (200, b'{"access_token": "a", "more": "' + b"a" * 100_000_000 + b'"}'),
    "too much": lambda: (200, b'{"access_token": "a", "more": "' + b"a" * 70_000 + b'"}'),
    "a redirect": lambda: (307, {}, {"location": "https://evil.example.com/token"}),
    "no JSON": lambda: (200, b"<html>"),
    "a list": lambda: (200, ["access_token"]),
    "no token": lambda: (200, {"token_type": "Bearer"}),
    "no text": lambda: (200, {"access_token": {"a": 1}}),
    "a line end": lambda: (200, {"access_token": "a\r\nx-injected: 1"}),
    "deep": lambda: (200, b"[" * 60_000),
    "a long life": lambda: (200, {"access_token": "a", "expires_in": "9" * 5000}),
    "busy": lambda: (429, {"error": "invalid_grant"}),
    "broken": lambda: (500, {"error": "invalid_grant"}),
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_an_answer_that_is_none_is_refused(parties: Parties, answer: str) -> None:
    await parties.offer()
    back = await parties.consent(await parties.begin())
    parties.provider.instead = lambda _asked: ANSWERS[answer]()
    await refused(parties.complete(**back), "UNAVAILABLE", Unavailable)


async def test_a_provider_that_never_answers_is_left(parties: Parties, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardpoint_config.oauth.TOKEN_SECONDS", 0.2)
    await parties.offer()
    back = await parties.consent(await parties.begin())
    end = Event()
    parties.provider.instead = lambda _asked: (200, {"late": end.wait(10)})
    try:
        await refused(parties.complete(**back), "UNAVAILABLE", Unavailable)
    finally:
        end.set()


async def test_an_error_does_not_repeat_what_was_sent(parties: Parties) -> None:
    await parties.offer()
    back = await parties.consent(await parties.begin(client_secret=b"secretclientsecret"))
    parties.provider.instead = lambda _asked: (400, {"error": "secretclientsecret", "error_description": back["code"]})
    error = await refused(parties.complete(**back), "SIGN_IN_REFUSED")
    assert "secretclientsecret" not in repr((error.message, error.metadata, error.fix))
    assert back["code"] not in repr((error.message, error.metadata, error.fix))
