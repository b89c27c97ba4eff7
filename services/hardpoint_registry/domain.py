"""Owns the registry's nouns and their rules: capabilities, releases, artifacts, who sees what; pure, without I/O."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from hardpoint_kit import masks
from hardpoint_kit.caller import Caller
from hardpoint_kit.errors import Conflict, InvalidArgument
from hardpoint_kit.names import CapabilityName, ReleaseName
from hardpoint_manifest.finding import Finding, Severity
from hardpoint_manifest.model import Manifest

MOST_LATE = 3
"""How often the replay of a release may end too late until that is a failure, and no longer a busy machine."""
_BUILDERS = frozenset({"admin", "builder", "operator", "service"})
_FILENAME = re.compile(r"[^\x00-\x1f\x7f/\\]{1,200}")


class Visibility(StrEnum):
    """Who sees a capability: its builders, every role of its org, or every org."""

    PRIVATE = "private"
    ORGANIZATION = "organization"
    PUBLIC = "public"


class CapabilityState(StrEnum):
    """Whether a capability is advised against."""

    ACTIVE = "active"
    DEPRECATED = "deprecated"


class ReleaseState(StrEnum):
    """How far a release has come."""

    DRAFT = "draft"
    CHECKING = "checking"
    PUBLISHED = "published"
    REJECTED = "rejected"
    YANKED = "yanked"


@dataclass(frozen=True, slots=True)
class View:
    """What a caller sees of one org's capabilities; `drafts` includes what was never published."""

    visibilities: tuple[Visibility, ...]
    drafts: bool

    @classmethod
    def of(cls, caller: Caller, org: str) -> Self:
        """Return what the caller sees of an org."""
        if caller.org != org:
            return cls((Visibility.PUBLIC,), drafts=False)
        if caller.roles & _BUILDERS:
            return cls(tuple(Visibility), drafts=True)
        return cls((Visibility.ORGANIZATION, Visibility.PUBLIC), drafts=True)

    def shows(self, capability: "Capability") -> bool:
        """Tell whether a capability of that org is in view."""
        return capability.visibility in self.visibilities and (self.drafts or capability.published)


EVERYTHING = View(tuple(Visibility), drafts=True)
"""What a unit's own work sees."""


@dataclass(frozen=True, slots=True)
class Capability:
    """A named set of actions of an org; it is described by its latest release, by its newest draft before that.

    `published` says whether any release was ever published; `latest_version` is the highest that is installable and no
    prerelease, empty when there is none.
    """

    name: CapabilityName
    visibility: Visibility
    create_time: datetime
    update_time: datetime
    display_name: str = ""
    description: str = ""
    icon: str = ""
    category: str = ""
    tags: tuple[str, ...] = ()
    state: CapabilityState = CapabilityState.ACTIVE
    deprecation_note: str = ""
    latest_version: str = ""
    published: bool = False

    def drafted(self, manifest: Manifest, at: datetime) -> Self:
        """Return the capability after a draft was added."""
        return self if self.published else self._described(manifest, at)

    def offering(self, latest: Manifest | None, at: datetime) -> Self:
        """Return the capability when `latest` is what a new installation gets; None leaves the description as it is."""
        known = replace(self, published=True, update_time=at)
        return known._described(latest, at, latest.version) if latest else replace(known, latest_version="")

    def updated(self, patch: Self, paths: tuple[str, ...], sent_etag: str, at: datetime) -> Self:
        """Return the capability with the visibility of `patch`; raises StaleEtag or InvalidArgument."""
        masks.check_etag(sent_etag, masks.etag(self))
        return replace(masks.apply_mask(self, patch, paths, ("visibility",)), update_time=at)

    def deprecated(self, note: str, at: datetime) -> Self:
        """Return the capability advised against; raises Conflict when it is already."""
        if self.state is CapabilityState.DEPRECATED:
            raise Conflict(
                f"{self.name} is deprecated already", state=self.state.name, resource=self.name, fix="nothing to do"
            )
        return replace(
            self, state=CapabilityState.DEPRECATED, deprecation_note=plain_text("note", note), update_time=at
        )

    def _described(self, manifest: Manifest, at: datetime, latest_version: str = "") -> Self:
        return replace(
            self,
            display_name=manifest.name,
            description=manifest.description,
            icon=manifest.icon,
            category=manifest.category,
            tags=manifest.tags,
            latest_version=latest_version,
            update_time=at,
        )


@dataclass(frozen=True, slots=True)
class Artifact:
    """Bytes of an org, named by the digest `sha256:<hex>`; the file name's ending says the language."""

    digest: str
    size_bytes: int
    filename: str = ""


@dataclass(frozen=True, slots=True)
class Submission:
    """What an author wants to release: uploaded bytes, under a name.

    `header` is what the jail found in a code file, None for YAML and JSON; `visibility` is that of a new capability;
    `cassettes` are those of its examples, by name.
    """

    digest: str
    filename: str
    header: Mapping[str, Any] | None = None
    visibility: Visibility = Visibility.PRIVATE
    validate_only: bool = False
    cassettes: Mapping[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _FILENAME.fullmatch(self.filename):
            raise InvalidArgument(
                {"filename": "must be a file's name without a folder"}, fix="send the last part of the path only"
            )


@dataclass(frozen=True, slots=True)
class Release:
    """An immutable publication of a capability; only its state moves."""

    name: ReleaseName
    manifest: Manifest
    artifact: Artifact
    create_time: datetime
    findings: tuple[Finding, ...] = ()
    header: dict[str, Any] | None = None
    state: ReleaseState = ReleaseState.DRAFT
    publish_time: datetime | None = None
    yank_note: str = ""
    late_replays: int = 0

    @property
    def is_checking(self) -> bool:
        """Whether the outcome of its checks is still to come."""
        return self.state is ReleaseState.CHECKING

    @property
    def is_public(self) -> bool:
        """Whether it was published, so that whoever installed it can count on it."""
        return self.state in (ReleaseState.PUBLISHED, ReleaseState.YANKED)

    @property
    def etag(self) -> str:
        """What changes whenever the release does: its bytes are fixed, so its state is enough."""
        return masks.etag(_Revision(self.name, self.artifact.digest, self.state, self.publish_time, self.yank_note))

    def submitted(self) -> Self:
        """Return the draft on its way to its checks; one that is there already stays. Raises Conflict."""
        if self.state not in (ReleaseState.DRAFT, ReleaseState.CHECKING):
            raise self._not_in(ReleaseState.DRAFT, "RELEASE_NOT_DRAFT", "raise the version and create a new release")
        return replace(self, state=ReleaseState.CHECKING)

    def checked(self, findings: tuple[Finding, ...], at: datetime) -> Self:
        """Return the release as its checks leave it: published, or rejected when any finding is an error."""
        self.require_checking()
        if errors(findings):
            return replace(self, state=ReleaseState.REJECTED, findings=findings)
        return replace(self, state=ReleaseState.PUBLISHED, findings=findings, publish_time=at)

    def replayed_late(self) -> Self:
        """Return the release with one more replay that did not end in time."""
        return replace(self, late_replays=self.late_replays + 1)

    def require_checking(self) -> None:
        """Raise Conflict unless the outcome of its checks is still to come."""
        if not self.is_checking:
            raise self._not_in(ReleaseState.CHECKING, "WRONG_STATE", "publish it first")

    def yanked(self, note: str) -> Self:
        """Return the release closed to new installations; raises Conflict unless it is published."""
        if self.state is not ReleaseState.PUBLISHED:
            raise self._not_in(ReleaseState.PUBLISHED, "WRONG_STATE", "only a published one is yanked; delete a draft")
        return replace(self, state=ReleaseState.YANKED, yank_note=plain_text("note", note))

    def require_deletable(self) -> None:
        """Raise Conflict when the release was published, or is about to be: others may count on it."""
        if self.state not in (ReleaseState.DRAFT, ReleaseState.REJECTED):
            raise self._not_in(ReleaseState.DRAFT, "RELEASE_NOT_DRAFT", "yank it to stop new installations")

    def _not_in(self, wanted: ReleaseState, reason: str, fix: str) -> Conflict:
        return Conflict(
            f"{self.name} is {self.state}, not {wanted}",
            reason=reason,
            fix=fix,
            release=self.name,
            state=self.state.name,
        )


def errors(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return those findings that stop a release."""
    return tuple(finding for finding in findings if finding.severity is Severity.ERROR)


@dataclass(frozen=True, slots=True)
class Created:
    """The answer to a submission: its release, and whether it is new."""

    release: Release
    created: bool


@dataclass(frozen=True, slots=True)
class _Revision:
    name: ReleaseName
    digest: str
    state: ReleaseState
    publish_time: datetime | None
    yank_note: str


def plain_text(place: str, text: str) -> str:
    """Return the text; raises InvalidArgument when it has a zero character, which PostgreSQL does not keep."""
    if "\0" in text:
        raise InvalidArgument({place: "holds a zero character"}, fix="remove it")
    return text
