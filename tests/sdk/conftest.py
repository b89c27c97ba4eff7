"""The SDK is tested where it lives: in a jail."""

from jail.conftest import door, jails

__all__ = ["door", "jails"]
