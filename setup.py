"""Build hook: a wheel carries the contracts' generated code, which is never committed."""

import runpy
from pathlib import Path

from setuptools import setup

# Before setup(): it collects the packages, and the generated ones have to be there by then.
runpy.run_path(str(Path(__file__).parent / "protos" / "generate.py"))["generate"]()

setup()
