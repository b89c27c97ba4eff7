"""Build hook: a wheel carries the contracts' generated code, which is never committed."""

import runpy
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithContracts(build_py):
    """Generate the contracts before the packages are collected."""

    def run(self) -> None:
        """Generate, then build as usual."""
        runpy.run_path(str(Path(__file__).parent / "protos" / "generate.py"))["generate"]()
        super().run()


setup(cmdclass={"build_py": BuildWithContracts})
