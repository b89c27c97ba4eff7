"""What a Python plugin imports: `from hardpoint_sdk import action, capability`. Standard library only."""

from .plugin import Plugin, action, capability
from .response import BrokerError, Response

__all__ = ["BrokerError", "Plugin", "Response", "action", "capability"]
