"""The README's tutorial, typed as it stands there: each command ends as shown and prints the lines that are shown.

A line of the README is compared without regard to white space; `...` in it stands for anything. A command whose shown
output has an error or a ✗ is expected to be refused.
"""

import asyncio
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.jail

ROOT = Path(__file__).parents[2]
SECTION = "## Five minutes"
README_ORG = "acme"
COMMAND_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the tutorial and the lines that the README shows of what it prints."""

    text: str
    shown: tuple[str, ...]

    @property
    def is_refused(self) -> bool:
        return any(line.startswith(("error:", "✗")) for line in self.shown)


def tutorial() -> list[Command]:
    """The commands of the tutorial's console blocks, in order."""
    section = (ROOT / "README.md").read_text().partition(f"{SECTION}\n")[2].partition("\n## ")[0]
    return [
        command
        for block in re.findall(r"^```console\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
        for command in _commands(block.splitlines())
    ]


def _commands(lines: list[str]) -> Iterator[Command]:
    while lines:
        typed = [lines.pop(0).removeprefix("$ ")]
        if heredoc := re.search(r"<<'(\w+)'$", typed[0]):
            end = lines.index(heredoc[1]) + 1
            typed, lines = typed + lines[:end], lines[end:]
        count = next((n for n, line in enumerate(lines) if line.startswith("$ ")), len(lines))
        shown, lines = lines[:count], lines[count:]
        yield Command("\n".join(typed), tuple(line for line in shown if line.strip()))


def pattern(shown: str) -> re.Pattern[str]:
    """What a line that prints must look like."""
    words = " ".join(shown.split())
    return re.compile(".*".join(map(re.escape, words.split("..."))))


async def run(command: str, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        command,
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), COMMAND_SECONDS)
    assert process.returncode is not None
    return process.returncode, out.decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The reader's folder, beside the examples, with the program `hardpoint` on the path."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    program = tmp_path / "bin" / "hardpoint"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hardpoint_cli.main "$@"\n')
    program.chmod(0o755)
    (tmp_path / "tutorial").mkdir()
    return tmp_path / "tutorial"


@pytest.mark.topology("one")  # what its reader has; S01 takes the command line through the other
async def test_the_tutorial_does_what_it_says(system, org, folder):
    environment = {
        **os.environ,
        **system.cli_environment(org),
        "PATH": f"{folder.parent / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    for command in tutorial():
        code, printed = await run(command.text, folder, environment)
        told = f"$ {command.text}\n{printed}"
        assert code == (1 if command.is_refused else 0), told
        lines = [" ".join(line.replace(f"orgs/{org}/", f"orgs/{README_ORG}/").split()) for line in printed.splitlines()]
        for shown in command.shown:
            wanted = pattern(shown)
            assert any(wanted.fullmatch(line.rstrip(",")) or wanted.fullmatch(line) for line in lines), (
                f"the README shows {shown!r}, but:\n{told}"
            )


def test_the_tutorial_covers_the_whole_way():
    """What a reader types takes a capability from a file to a call, a refusal, a new version and the record."""
    typed = "\n".join(command.text for command in tutorial())
    for step in ("new", "check", "test", "push", "install", "agent create", "attach", "call", "runs", "events"):
        assert f"hardpoint {step}" in typed
    assert sum(command.is_refused for command in tutorial()) >= 3


def test_every_link_leads_somewhere():
    """Links between the papers, and the paths that the map names, exist."""
    readme = (ROOT / "README.md").read_text()
    linked = set(re.findall(r"\]\(([^)#:]+)\)", readme))
    mapped = readme.partition("## Map of the repository")[2].partition("```text\n")[2].partition("```")[0]
    assert [path for path in linked if not (ROOT / path).exists()] == []
    assert [path for path in _mapped(mapped) if not (ROOT / path).exists()] == []


def _mapped(text: str) -> Iterator[str]:
    """The paths of the map: two spaces lead what lies in the folder above."""
    parent = ""
    for line in text.splitlines():
        path = line.split()[0]
        if not line.startswith(" "):
            parent = path
        yield parent + path if line.startswith("  ") else path
