"""The runtime's tables, in the terms of its domain."""

from hardpoint_runtime.store.runs import RunLog
from hardpoint_runtime.store.store import Store, Transaction

__all__ = ["RunLog", "Store", "Transaction"]
