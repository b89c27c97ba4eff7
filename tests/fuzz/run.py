"""Runs one fuzz target: `python run.py frames -runs=20000 -seed=1`; what it finds is written to `.fuzz`.

Options are libFuzzer's. Without -runs it goes on for -max_total_time seconds, or for ever.
"""

import sys
import tempfile
from pathlib import Path

import atheris

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("libs", "services", "tests")]

with atheris.instrument_imports(include=["hardpoint_executor.jail.frames", "hardpoint_executor.broker"]):
    from fuzz.targets import TARGETS


def main() -> None:
    """Fuzz until the options say that it is enough; a finding ends it with a status other than 0."""
    name, *options = sys.argv[1:]
    corpus = HERE / "corpus"
    found = ROOT / ".fuzz" / name
    found.mkdir(parents=True, exist_ok=True)
    always = [f"-dict={corpus / name}.dict", f"-artifact_prefix={found}/", "-max_len=4096", "-timeout=10"]
    # libFuzzer adds to the first folder: one of its own for a counted run, which is then the same every time; what a
    # longer run learned is kept. The corpus holds what a person put there.
    counted = any(option.startswith("-runs=") for option in options)
    folders = [tempfile.mkdtemp(prefix="hardpoint-fuzz-") if counted else str(found), str(corpus / name)]
    atheris.Setup([sys.argv[0], *options, *always, *folders], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
