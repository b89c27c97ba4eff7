"""What plugin code imports, here for editors, type checkers and authors' own tests.

Inside a jail the folder `python` itself is the package `hardpoint_sdk`; `javascript` needs no import there.
"""

from .python import BrokerError, Plugin, Response, action, capability

__all__ = ["BrokerError", "Plugin", "Response", "action", "capability"]
