"""What the release's document declares, so that a refusal names the line and the patch that would allow it.

A patch is a JSON Patch (RFC 6902) against the author's document that always applies: it writes a whole list anew.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.domain import Calling
from hardpoint_manifest.authority import Authority


@dataclass(frozen=True, slots=True)
class Declared:
    """What a release asks for, and where its document says so: `root` is the JSON Pointer of the capability there.

    On behalf of `callers` it reaches less than it was `granted`.
    """

    asked: Authority = field(default_factory=Authority)
    root: str = "/capability"
    callers: tuple[Calling, ...] = ()
    granted: Authority = field(default_factory=Authority)

    def no_host(self, host: str) -> BrokerDenied:
        """The refusal of a host that is not granted; `host` is the rule that would cover it."""
        message = f"host {host} is not granted"
        try:
            declared = self.asked.covers(Authority.of((), (host,)))
        except ValueError:
            fix = "use a host of the public internet: no manifest can declare this one"
            return BrokerDenied(DenialCode.HOST_NOT_GRANTED, message, fix, host=host)
        rule = Authority.of((), (host,))
        if caller := self._without(lambda authority: authority.covers(rule)):
            facts, fix = {"host": host, "caller": caller.release}, _caller_fix(caller, host, caller.asked.covers(rule))
            return BrokerDenied(DenialCode.HOST_NOT_GRANTED, f"{message} to caller {caller.capability}", fix, **facts)
        fix, advice = self._advice("hosts", self.asked.hosts, host, declared)
        return BrokerDenied(DenialCode.HOST_NOT_GRANTED, message, fix, host=host, **advice)

    def no_permission(self, permission: str, message: str, **facts: str) -> BrokerDenied:
        """The refusal of what needs a permission that is not granted."""
        if caller := self._without(lambda authority: permission in authority.permissions):
            fix = _caller_fix(caller, permission, permission in caller.asked.permissions)
            told = {**facts, "permission": permission, "caller": caller.release}
            refused = f"{permission} is not granted to caller {caller.capability}"
            return BrokerDenied(DenialCode.PERMISSION_NOT_GRANTED, refused, fix, **told)
        declared = permission in self.asked.permissions
        fix, advice = self._advice("permissions", self.asked.permissions, permission, declared)
        return BrokerDenied(DenialCode.PERMISSION_NOT_GRANTED, message, fix, permission=permission, **facts, **advice)

    def _without(self, allows: Callable[[Authority], bool]) -> Calling | None:
        """The outermost caller that keeps from it what it was granted itself."""
        if not allows(self.granted):
            return None
        return next((caller for caller in self.callers if not allows(caller.authority)), None)

    def _advice(self, field: str, asked: Iterable[str], name: str, declared: bool) -> tuple[str, dict[str, str]]:
        path = f"{self.root}/{field}"
        if declared:
            author = f"nothing: `{field}` declares it already"
            return f'grant "{name}" to the installation', {"path": path_text(path), "author": author}
        return (
            f'the author has to declare "{name}" in `{field}`; then grant it to the installation',
            declaring(path, [*sorted(asked), name]),
        )


def _caller_fix(caller: Calling, name: str, declared: bool) -> str:
    grant = f'grant "{name}" to the installation of {caller.capability}'
    return grant if declared else f'the author of {caller.capability} has to declare "{name}"; then {grant}'


def declaring(pointer: str, names: list[str]) -> dict[str, str]:
    """The facts for the author: which line to write, and the patch that writes it."""
    patch = json.dumps([{"op": "add", "path": pointer, "value": names}])
    return {
        "path": path_text(pointer),
        "patch": patch,
        "author": f"write {json.dumps(names)} in `{path_text(pointer)}`",
    }


def path_text(pointer: str) -> str:
    """A JSON Pointer as people read it: `capability.configuration[0].hosts`."""
    text = ""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        text += f"[{name}]" if name.isdecimal() else f".{name}" if text else name
    return text
