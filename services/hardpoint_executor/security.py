"""Owns the security log: one warning for each attempt against the walls that is seen from outside, by name.

Its logger is `hardpoint.security`. A line says who (org, capability, release, agent, run, execution) and what was
tried: a forbidden system call (where the kernel told no name, its signal), or the broker's code with host, method,
permission or file. Names alone: no path, query, header value, body, input, output or secret.
"""

from collections.abc import Callable, Mapping

import structlog

from hardpoint_executor.jail.interface import BrokerDenied

log = structlog.get_logger("hardpoint.security")

_WHO = ("org", "capability", "release", "agent", "run", "execution")
_WHAT = ("host", "method", "permission", "file")


def denied(who: Mapping[str, str], refusal: BrokerDenied, scrubbed: Callable[[str], str]) -> None:
    """The broker refused; `scrubbed` takes secrets out of what it said, since an upstream may choose a host's name."""
    named = {name: scrubbed(refusal.facts[name]) for name in _WHAT if name in refusal.facts}
    log.warning(
        f"call of {who.get('capability', '')} denied: {scrubbed(refusal.message)}",
        code=str(refusal.code),
        **_who(who),
        **named,
    )


def killed(who: Mapping[str, str], call: Mapping[str, str]) -> None:
    """A jail was killed for a system call: its name (`syscall`), or the signal where the kernel told no name."""
    log.warning(
        f"code of {who.get('capability', 'a file that was only read')} killed: a system call that no plugin may make",
        code="VIOLATION",
        **call,
        **_who(who),
    )


def _who(who: Mapping[str, str]) -> dict[str, str]:
    return {name: who.get(name, "") for name in _WHO}
