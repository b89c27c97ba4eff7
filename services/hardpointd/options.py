"""What the program itself can be told, beside what each unit reads for itself."""

from pathlib import Path

from pydantic import Field

from hardpoint_kit.options import Options
from hardpoint_kit.state import default_state_folder


class DaemonOptions(Options):
    """Where state is kept and where the units of other processes are."""

    state: Path = Field(default_factory=default_state_folder)
    """Folder for the embedded database, keys and whatever can be rebuilt."""
    config_address: str = ""
    registry_address: str = ""
    marketplace_address: str = ""
    files_address: str = ""
    executor_address: str = ""
    runtime_address: str = ""
    """host:port of a unit in another process; empty when this process serves it."""

    def address_of(self, unit: str) -> str:
        """The configured address of a unit, empty when there is none, as for a unit that no other one calls."""
        return str(getattr(self, f"{unit}_address", ""))
