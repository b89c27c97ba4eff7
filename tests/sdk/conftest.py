"""The SDK is tested where it lives: in a jail."""

from jail.conftest import door, jails, tier

__all__ = ["door", "jails", "tier"]
