"""Owns the security log: one warning for each attempt against the walls that is seen from outside, by name.

Its logger is `hardpoint.security`. A line says who (org, capability, release, agent, run, execution) and what was
tried: a forbidden system call (where the kernel told no name, its signal), what a jail does not have (a file, a host, a
process; who told it), or the broker's code with host, method, permission or file. Names alone: no path of a URL, query,
header value, body, input, output or secret.
"""

from collections.abc import Callable, Mapping

import structlog

from hardpoint_executor.jail.interface import Attempt, BrokerDenied

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
        f"code of {_whose(who)} killed: a system call that no plugin may make",
        code="VIOLATION",
        **call,
        **_who(who),
    )


def tried(who: Mapping[str, str], attempt: Attempt, scrubbed: Callable[[str], str]) -> None:
    """Something was refused inside the jail; what its interpreter tells of it is the code's word."""
    target = scrubbed(attempt.target)
    log.warning(
        f"code of {_whose(who)} tried what no jail has: {attempt.name} {target}".rstrip(),
        code="ATTEMPT",
        tried=attempt.name,
        **({"target": target} if target else {}),
        told_by=attempt.told_by,
        **_who(who),
    )


def _whose(who: Mapping[str, str]) -> str:
    return who.get("capability", "a file that was only read")


def _who(who: Mapping[str, str]) -> dict[str, str]:
    return {name: who.get(name, "") for name in _WHO}
