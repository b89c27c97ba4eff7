"""The module `deploy/seccomp/profile.py`, which is no part of any package, and the profile that it wrote."""

import importlib.util
import json
import sys
from pathlib import Path

_FOLDER = Path(__file__).parents[2] / "deploy/seccomp"
_spec = importlib.util.spec_from_file_location("executor_profile", _FOLDER / "profile.py")
source = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = source
_spec.loader.exec_module(source)

WRITTEN = json.loads((_FOLDER / "executor.json").read_text())
