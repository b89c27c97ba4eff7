"""Owns where this machine keeps what must outlive a process."""

import os
from pathlib import Path


def default_state_folder() -> Path:
    """Where state of this user is kept: HARDPOINT_STATE, else what the system has for it."""
    if chosen := os.environ.get("HARDPOINT_STATE"):
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/var/lib/hardpoint")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "hardpoint"
