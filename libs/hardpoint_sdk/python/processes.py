"""Owns the name of the error with which a plugin may start no process: a mere EPERM could have been a socket's.

Nothing here is a wall: the kernel refuses, here it is only said in words.
"""

import _posixsubprocess
import functools
import os
from collections.abc import Callable
from typing import Any

_STARTS = ((os, ("fork", "forkpty", "posix_spawn", "posix_spawnp")), (_posixsubprocess, ("fork_exec",)))
"""What all others stand on: subprocess, multiprocessing, pty."""


class ProcessRefused(PermissionError):
    """A call is one process and may start no other."""


def name_refusals() -> None:
    """Have every start of a process that is refused end as ProcessRefused; before anything else imports the starts."""
    for module, names in _STARTS:
        for name in names:
            setattr(module, name, _named(getattr(module, name)))


def _named(start: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(start)
    def started(*arguments: Any, **named: Any) -> Any:
        try:
            return start(*arguments, **named)
        except PermissionError as error:
            raise ProcessRefused(error.errno, "a call is one process and may start no other") from None

    return started
