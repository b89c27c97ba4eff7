"""Entry of `make bench`: puts the code on the path and runs the suite, or the parts named on the command line."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # it says of each process we start that it does nothing about it
sys.path[:1] = [str(ROOT), str(ROOT / "examples")]

from bench.suite import main  # noqa: E402 - the path comes first

if __name__ == "__main__":
    main()
