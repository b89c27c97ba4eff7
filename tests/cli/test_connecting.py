"""Signing in from the command line: a browser that comes back to a loopback port, or an address that is pasted."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from demo.daemon import free_port

from cli.conftest import Run
from cli.fakes import World
from cli.serving import Serving
from hardpoint_kit.auth import DevKeys

SECRET = "client-secret-canary-55aa01"


@pytest.fixture
def installed(cli: Run, published: World) -> World:
    """The weather capability, installed; one signs in at id.example.com."""
    cli("install", "weather-lookup", "--grant-all")
    return published


class Terminal:
    """A running `hardpoint connect`, and what it says on stderr."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.said: list[str] = []

    def link(self) -> dict[str, str]:
        """What the link asks for."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if line.startswith("https://"):
                return {key: values[0] for key, values in parse_qs(urlsplit(line.strip()).query).items()}
        raise AssertionError("".join(self.said))

    def ended(self) -> tuple[int, dict]:
        out, err = self.process.communicate(timeout=30)
        self.said.append(err)
        return self.process.returncode, json.loads(out)


Start = Callable[..., Terminal]


@pytest.fixture
def start(serving: Serving, keys: DevKeys, installed: World, tmp_path) -> Iterator[Start]:
    """`start("--redirect", url)` runs `hardpoint connect weather-lookup` with the client's secret on stdin."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, stdin: str = f"{SECRET}\n") -> Terminal:
        process = subprocess.Popen(
            [sys.executable, "-m", "hardpoint_cli.main", "connect", "weather-lookup", "--client-id", "app-1", "--json",
             *arguments],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "HARDPOINT_STATE": str(tmp_path),
                "HARDPOINT_ADDRESS": f"127.0.0.1:{serving.port}",
                "HARDPOINT_TOKEN": keys.mint("ada", "acme", {"operator"}),
            },
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.flush()
        return Terminal(process)

    yield start
    for process in started:
        process.kill()
        process.wait(30)


def test_the_browser_comes_back_and_both_are_told(start: Start, installed: World) -> None:
    redirect = f"http://127.0.0.1:{free_port()}/callback"
    terminal = start("--redirect", redirect)
    asked = terminal.link()
    assert (asked["client_id"], asked["redirect_uri"]) == ("app-1", redirect)
    with httpx.Client(trust_env=False) as browser:
        for stray in ({}, {"state": "guessed", "code": "evil"}, {"error": "access_denied"}):
            assert browser.get(redirect, params=stray).status_code == 400
        assert browser.get(redirect.replace("callback", "other"), params={"state": asked["state"]}).status_code == 400
        page = browser.get(redirect, params={"state": asked["state"], "code": "c1", "iss": "https://id.example.com"})
    assert "Connected" in page.text
    assert page.headers["referrer-policy"] == "no-referrer"
    code, answer = terminal.ended()
    assert (code, answer["connection"]["state"]) == (0, "CONNECTION_STATE_ACTIVE")
    (sent,) = installed.asked["CompleteConnection"]
    assert (sent.code, sent.state, sent.iss) == ("c1", asked["state"], "https://id.example.com")
    (begun,) = installed.asked["BeginConnection"]
    assert begun.client_secret == SECRET.encode()
    assert SECRET not in "".join(terminal.said) + json.dumps(answer)


def test_who_does_not_consent_is_told_so(start: Start, installed: World) -> None:
    redirect = f"http://127.0.0.1:{free_port()}/callback"
    terminal = start("--redirect", redirect)
    state = terminal.link()["state"]
    pages: list[str] = []
    query = {"state": state, "error": "<b>access_denied</b>"}
    browser = threading.Thread(target=lambda: pages.append(httpx.get(redirect, params=query, trust_env=False).text))
    browser.start()
    code, answer = terminal.ended()
    browser.join(30)
    assert (code, answer["error"]["reason"]) == (1, "SIGN_IN_REFUSED")
    assert "Not connected" in pages[0]
    assert "<b>" not in pages[0]
    assert not installed.asked["CompleteConnection"]


def test_an_address_can_be_pasted(start: Start, installed: World) -> None:
    terminal = start("--paste")
    state = terminal.link()["state"]
    assert terminal.process.stdin is not None
    terminal.process.stdin.write(f"http://127.0.0.1:8976/callback?code=c2&state={state}\n")
    code, answer = terminal.ended()
    assert code == 0, answer
    assert installed.asked["CompleteConnection"][0].code == "c2"


def test_an_address_of_another_link_is_refused(start: Start, installed: World) -> None:
    terminal = start("--paste", stdin=f"{SECRET}\nhttp://127.0.0.1:8976/callback?code=c2&state=other\n")
    code, answer = terminal.ended()
    assert (code, answer["error"]["reason"]) == (1, "SIGN_IN_INVALID")
    assert not installed.asked["CompleteConnection"]


def test_a_port_that_is_taken_is_told(start: Start, serving: Serving) -> None:
    terminal = start("--redirect", f"http://127.0.0.1:{serving.port}/callback")
    code, answer = terminal.ended()
    assert code == 1
    assert "--paste" in answer["error"]["fix"]


def test_a_client_connects_by_itself(start: Start, installed: World) -> None:
    installed.grant = "client_credentials"
    code, answer = start().ended()
    assert (code, answer["connection"]["state"]) == (0, "CONNECTION_STATE_ACTIVE")
    assert installed.asked["ConnectClient"][0].client_secret == SECRET.encode()


def test_nobody_to_ask_for_a_client(cli: Run, installed: World) -> None:
    said = cli("connect", "weather-lookup")
    assert said.code == 2
    assert "--client-id" in said.err


def test_what_is_connected_is_shown_and_forgotten(cli: Run, installed: World) -> None:
    cli("connect", "weather-lookup", "--client-id", "app-1", "--paste", stdin="s\n")
    assert "id.example.com" in cli("connection", "weather-lookup").out
    assert cli("disconnect", "weather-lookup").code == 0
    assert cli("connection", "weather-lookup").code == 1


def test_what_is_installed_says_that_one_can_sign_in(cli: Run, published: World) -> None:
    manifest = published.releases["orgs/acme/capabilities/weather-lookup/releases/1.0.0"].manifest
    manifest.oauth2.setting, manifest.oauth2.token_url = "API_KEY", "https://id.example.com/token"
    assert "$ hardpoint connect weather-lookup" in cli("install", "weather-lookup", "--grant-all").out
