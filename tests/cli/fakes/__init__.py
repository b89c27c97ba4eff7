"""Stand-ins for the services, good enough for one user: they keep what they are told in a World and answer from it."""

from .agents import Agents
from .audit import Audit
from .config import Config
from .executor import Executor
from .files import Files
from .installations import Installations
from .marketplace import Marketplace
from .policy import Policy
from .registry import Artifacts, Registry
from .runs import Runs
from .triggers import Triggers
from .world import WEATHER, Fake, World, release

__all__ = [
    "WEATHER",
    "Agents",
    "Artifacts",
    "Audit",
    "Config",
    "Executor",
    "Fake",
    "Files",
    "Installations",
    "Marketplace",
    "Policy",
    "Registry",
    "Runs",
    "Triggers",
    "World",
    "release",
]
