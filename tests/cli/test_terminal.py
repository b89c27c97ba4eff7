"""The command line on a real terminal: questions, answers without an echo, Ctrl-C.

The blank after a hidden question is written when the echo is off; what is typed before is thrown away.
"""

import os
import pty
import sys
from pathlib import Path

import pytest

from cli.fakes import World
from cli.serving import Serving
from hardpoint_kit.auth import DevKeys

CANARY = "sk-canary-51d0"


@pytest.fixture
def terminal(serving: Serving, keys: DevKeys, published: World):
    """`terminal(arguments, until, typed)` types when the text is there; the exit code and all that was shown."""

    def terminal(arguments: list[str], until: str, typed: str, kind: str = "dumb") -> tuple[int, str]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2] / "libs"),
            "HARDPOINT_ADDRESS": f"127.0.0.1:{serving.port}",
            "HARDPOINT_TOKEN": keys.mint("ada", "acme", ["admin"]),
            "TERM": kind,
            "COLUMNS": "120",
        }
        process, screen = pty.fork()
        if process == 0:
            os.execve(sys.executable, [sys.executable, "-m", "hardpoint_cli.main", *arguments], environment)
        shown = ""
        while until not in shown:
            shown += os.read(screen, 4096).decode(errors="replace")
        os.write(screen, typed.encode())
        try:
            while part := os.read(screen, 4096):
                shown += part.decode(errors="replace")
        except OSError:
            pass  # the other side has hung up
        os.close(screen)
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), shown

    return terminal


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 1), ("n\n", 1)])
def test_installing_asks_first_and_no_is_the_default(answer: str, code: int, terminal, published: World) -> None:
    ended, shown = terminal(["install", "weather-lookup"], "[y/N]", answer)
    assert "Make HTTP GET requests" in shown
    assert ended == code
    assert bool(published.installations) is (code == 0)
    assert ("nothing was installed" in shown) is (code == 1)


def test_a_secret_is_typed_without_an_echo(terminal, published: World) -> None:
    ended, shown = terminal(["secret", "set", "trial", "API_KEY"], "API_KEY of trial: ", f"{CANARY}\n")
    assert ended == 0
    assert list(published.secret_values.values()) == [CANARY.encode()]
    assert CANARY not in shown


def test_long_work_is_seen_to_go_on(terminal, published: World) -> None:
    ended, shown = terminal(["doctor"], "examining", "", kind="xterm")
    assert ended == 0
    assert "All is well." in shown


def test_ctrl_c_ends_cleanly(terminal, published: World) -> None:
    ended, shown = terminal(["secret", "set", "trial", "API_KEY"], "API_KEY of trial: ", "\x03")
    assert ended == 130
    assert "interrupted" in shown
    assert "Traceback" not in shown
    assert not published.secret_values
