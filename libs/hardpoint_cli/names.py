"""Names as people write them: `weather-lookup`, `acme/weather-lookup`, `weather-lookup@1.2.0`; and back."""

import re
from typing import TYPE_CHECKING

from hardpoint_kit.errors import InvalidArgument
from hardpoint_kit.names import CapabilityName, ListingName, ReleaseName, RunName

if TYPE_CHECKING:
    from hardpoint.runtime.v1 import installation_pb2

_RELEASE = re.compile(r"orgs/(?P<org>[^/]+)/capabilities/(?P<capability>[^/]+)/releases/(?P<version>[^/]+)")
_RESOURCE = re.compile(r"orgs/(?P<org>[^/]+)/[a-z]+/(?P<id>[^/]+)(?:/[a-z]+/(?P<inner>[^/]+))?")


def capability_and_version(text: str, own: str) -> tuple[CapabilityName, str]:
    """What `capability[@version]` names, `own` being "orgs/{org}"; the version, or constraint, is empty when absent."""
    if release := _RELEASE.fullmatch(text):
        return CapabilityName(release["org"], release["capability"]), release["version"]
    name, _, version = text.partition("@")
    if name.startswith("orgs/"):
        return CapabilityName.parse(name, "capability"), version
    if name.startswith("listings/"):
        return ListingName.parse(name, "capability").capability_name, version
    org, _, capability = name.rpartition("/")
    return CapabilityName(org or own.removeprefix("orgs/"), capability), version


def capability(text: str, own: str) -> CapabilityName:
    """What a capability's name without a version names."""
    name, version = capability_and_version(text, own)
    if version:
        raise InvalidArgument({"capability": f'"{text}" names one release'}, fix="leave out the version")
    return name


def release(text: str, own: str) -> ReleaseName:
    """What `capability@version` names."""
    name, version = capability_and_version(text, own)
    if not version:
        raise InvalidArgument({"release": f'"{text}" names no release'}, fix=f"say which: {text}@1.0.0")
    return ReleaseName(name.org, name.capability, version)


def run(text: str, own: str) -> str:
    """The resource name of a run."""
    return str(RunName.parse(text if "/" in text else f"{own}/runs/{text}"))


def prefix(installation: "installation_pb2.Installation") -> str:
    """What the actions of an installation are called by, before the dot."""
    return (installation.name if installation.own_name else installation.capability).rpartition("/")[2]


def option(installation: "installation_pb2.Installation") -> str:
    """How `hardpoint install` is told which installation is meant."""
    id = installation.name.rpartition("/")[2]
    return f"--as {id}" if id == prefix(installation) else f"--id {id}"


def short(name: str, own: str) -> str:
    """A resource name as people write it: the id alone, with the org before it when it is another one's."""
    if found := _RELEASE.fullmatch(name):
        text = f"{found['capability']}@{found['version']}"
    elif found := _RESOURCE.fullmatch(name):
        text = found["inner"] or found["id"]
    else:
        return name
    return text if name.startswith(f"{own}/") else f"{found['org']}/{text}"
