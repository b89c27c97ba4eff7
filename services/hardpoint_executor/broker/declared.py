"""What the release's document declares, so that a refusal names the line and the patch that would allow it.

A patch is a JSON Patch (RFC 6902) against the author's document that always applies: it writes a whole list anew.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_manifest.authority import Authority


@dataclass(frozen=True, slots=True)
class Declared:
    """What a release asks for, and where its document says so: `root` is the JSON Pointer of the capability there."""

    asked: Authority = field(default_factory=Authority)
    root: str = "/capability"

    def no_host(self, host: str) -> BrokerDenied:
        """The refusal of a host that is not granted; `host` is the rule that would cover it."""
        message = f"host {host} is not granted"
        try:
            declared = self.asked.covers(Authority.of((), (host,)))
        except ValueError:
            fix = "use a host of the public internet: no manifest can declare this one"
            return BrokerDenied(DenialCode.HOST_NOT_GRANTED, message, fix, host=host)
        fix, advice = self._advice("hosts", self.asked.hosts, host, declared)
        return BrokerDenied(DenialCode.HOST_NOT_GRANTED, message, fix, host=host, **advice)

    def no_permission(self, permission: str, message: str, **facts: str) -> BrokerDenied:
        """The refusal of what needs a permission that is not granted."""
        declared = permission in self.asked.permissions
        fix, advice = self._advice("permissions", self.asked.permissions, permission, declared)
        return BrokerDenied(DenialCode.PERMISSION_NOT_GRANTED, message, fix, permission=permission, **facts, **advice)

    def _advice(self, field: str, asked: Iterable[str], name: str, declared: bool) -> tuple[str, dict[str, str]]:
        path = f"{self.root}/{field}"
        if declared:
            author = f"nothing: `{field}` declares it already"
            return f'grant "{name}" to the installation', {"path": path_text(path), "author": author}
        return (
            f'the author has to declare "{name}" in `{field}`; then grant it to the installation',
            declaring(path, [*sorted(asked), name]),
        )


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
