"""Which limit an error of the plugin's own means."""

import pytest

from hardpoint_executor.runners.exhaustion import exhausted


@pytest.mark.parametrize(
    ("name", "message", "reason"),
    [
        ("MemoryError", "out of memory", "MEMORY"),
        ("RangeError", "Array buffer allocation failed", "MEMORY"),
        ("RangeError", "Invalid array length", None),
        ("RuntimeError", "can't start new thread", "PROCS"),
        ("Error", "ENOSPC: no space left on device, write", "DISK"),
        ("Error", "it says ENOSPC: itself", None),
    ],
)
def test_what_an_error_means(name: str, message: str, reason: str | None) -> None:
    limit = exhausted(name, message)
    assert (limit.reason if limit else None) == reason
