"""A short fuzz of what strangers feed us, the same every time; `make fuzz` goes on for longer."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from .targets import TARGETS

HERE = Path(__file__).parent
RUNS = 20_000


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is made for Linux on x86-64 alone")
@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_found_from_the_corpus_on(name: str) -> None:
    command = [sys.executable, str(HERE / "run.py"), name, f"-runs={RUNS}", "-seed=1"]
    # By way of a shell: what a process starts has the largest memory of that process for its own, and a limit on it.
    command = ["sh", "-c", '"$@"; exit $?', "sh", *command]
    fuzzed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert fuzzed.returncode == 0, fuzzed.stderr[-4000:]
    assert f"Done {RUNS} runs" in fuzzed.stderr


@pytest.mark.parametrize("name", TARGETS)
def test_every_file_of_the_corpus_holds(name: str) -> None:
    files = sorted((HERE / "corpus" / name).iterdir())
    assert files
    for path in files:
        TARGETS[name](path.read_bytes())
