"""Owns the question which settings of an installation have a value; asked only for a release that requires some."""

from hardpoint_kit.names import InstallationName, SettingsName
from hardpoint_runtime.domain.releases import Release
from hardpoint_runtime.peers import Config


async def configured(config: Config, installation: InstallationName, release: Release) -> frozenset[str]:
    """The keys that have a value or a secret; raises Unavailable."""
    if not release.requirements:
        return frozenset()
    return await config.configured(SettingsName(installation.org, installation.installation))
