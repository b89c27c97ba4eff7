"""Entry of `make bench`: puts the code on the path and runs the suite."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:1] = [str(ROOT), str(ROOT / "examples")]

from bench.suite import main  # noqa: E402 - the path comes first

if __name__ == "__main__":
    main()
