"""Owns what both sides of a call must know: the metadata we add, and how large a message may be.

Imports nothing, so that a client need not load what only servers use.
"""

LARGEST_MESSAGE = 8 * 1024 * 1024

ORG_METADATA = "hardpoint-org"
SUBJECT_METADATA = "hardpoint-subject"
"""For whom a unit of ours acts; believed of units only."""

UNIT_METADATA = "hardpoint-unit"
"""Which of several units in one process is meant, for a service that each of them offers."""
