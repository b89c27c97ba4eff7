"""The words of an execution: what is asked, what happens meanwhile, how it ended, and what it may use.

Pure values and rules; they call no one.
"""

from hardpoint_executor.domain.events import Event, Finished, InnerStep, Log, Progress, Ran, Started, Tell, Usage
from hardpoint_executor.domain.execution import (
    CONTEXT_FILES,
    UNKNOWN,
    Artifact,
    Callee,
    Calling,
    Execution,
    Known,
    Limits,
    Requirement,
    Sharing,
)
from hardpoint_executor.domain.files import Handle, Lent, handles_in
from hardpoint_executor.domain.outcomes import Outcome, outcome_of

__all__ = [
    "CONTEXT_FILES",
    "UNKNOWN",
    "Artifact",
    "Callee",
    "Calling",
    "Event",
    "Execution",
    "Finished",
    "Handle",
    "InnerStep",
    "Known",
    "Lent",
    "Limits",
    "Log",
    "Outcome",
    "Progress",
    "Ran",
    "Requirement",
    "Sharing",
    "Started",
    "Tell",
    "Usage",
    "handles_in",
    "outcome_of",
]
