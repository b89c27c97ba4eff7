"""Rules about services of the organisation: what permissions for them make an installation need."""

from collections.abc import Iterator

from hardpoint_manifest.finding import Finding
from hardpoint_manifest.model import ASKED_SERVICES
from hardpoint_manifest.rules.subject import Subject
from hardpoint_manifest.services import NEEDS


def check(subject: Subject) -> Iterator[Finding]:
    """What is needed although nobody wrote it, at the first permission that needs it."""
    derived = {one.key for one in subject.manifest.requirements if one.pointer == ASKED_SERVICES}
    for index, permission in enumerate(subject.source.permissions):
        keys = [need.key for need in NEEDS.get(permission, ()) if need.key in derived]
        derived.difference_update(keys)
        if keys:
            yield subject.info(
                "derived-requirement",
                subject.at("permissions", index),
                f"{permission} works where an installation sets {', '.join(keys)}",
                f"declare them under `{subject.settings_key}` to say more about them",
            )
