"""Owns what the runtime keeps of a release: enough to call its actions without asking the registry again."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hardpoint_kit.errors import Conflict, InvalidArgument, NotFound
from hardpoint_kit.names import ReleaseName
from hardpoint_manifest.authority import Authority, HostRule, nearest
from hardpoint_manifest.headers import SENDERS, is_senders
from hardpoint_manifest.model import Example

VERIFIERS = ("slack", "github", "standard-webhooks", "hmac", "none")


class Effect(StrEnum):
    """Whether calling an action changes something outside."""

    READ = "READ"
    WRITE = "WRITE"


@dataclass(frozen=True, slots=True)
class Action:
    """One callable function of a release."""

    id: str
    name: str
    description: str
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any]
    effect: Effect
    idempotent: bool = False
    """Whether doing it again with the same idempotency key does nothing more."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """A setting or a secret that an installation gives to the release, by key."""

    key: str
    label: str
    type: str
    required: bool
    default: Any = None
    description: str = ""
    help_url: str = ""
    hosts: tuple[str, ...] = ()
    """Where a secret may be sent."""
    pointer: str = ""
    """JSON Pointer of the declaration in the author's document."""

    def command(self, installation: str) -> str:
        """What a person types to provide it."""
        if self.type == "secret":
            return f"hardpoint secret set {installation} {self.key}"
        return f"hardpoint setting set {installation} {self.key}=..."


@dataclass(frozen=True, slots=True)
class OAuth2:
    """How one signs in for a release; `setting` is the key of the requirement that holds the access token."""

    setting: str
    grant: str
    authorization_url: str
    token_url: str
    scopes: tuple[str, ...]
    pkce: bool = True
    revocation_url: str = ""


@dataclass(frozen=True, slots=True)
class RecordedExample:
    """An example of a release, and what it did outside when it was recorded."""

    example: Example
    cassette: bytes


@dataclass(frozen=True, slots=True)
class Verifier:
    """How deliveries to a webhook prove where they come from; `secret` is the key of the signing secret.

    The headers are of kind hmac, as in a manifest.
    """

    kind: str = "none"
    secret: str = ""
    header: str = ""
    id_header: str = ""
    timestamp_header: str = ""

    @property
    def signs(self) -> bool:
        """Whether it proves anything."""
        return self.kind != "none"

    @property
    def signs_id(self) -> bool:
        """Whether what the sender calls a delivery is among the bytes that are signed."""
        return self.kind in ("slack", "standard-webhooks")

    def check(self) -> None:
        """Raise InvalidArgument unless it can tell a signature."""
        if self.kind not in VERIFIERS:
            raise InvalidArgument(
                {"trigger.verifier.kind": f'there is no verifier "{self.kind}"'}, fix=f"say {', '.join(VERIFIERS)}"
            )
        if self.signs and not self.secret:
            raise InvalidArgument(
                {"trigger.verifier.secret": "is required"}, fix="name the key of the signing secret: SIGNING_SECRET"
            )
        named = {"header": self.header, "id_header": self.id_header, "timestamp_header": self.timestamp_header}
        for field, name in named.items():
            if self.kind != "hmac" and field != "header" and name:
                raise InvalidArgument(
                    {f"trigger.verifier.{field}": f"is of hmac, and not of {self.kind}"}, fix="leave it out"
                )
            if self.kind == "hmac" and (name or field == "header") and not is_senders(name):
                raise InvalidArgument(
                    {f"trigger.verifier.{field}": f'"{name}" is no header that is handed on'},
                    fix=f"name one in small letters: {SENDERS}",
                )


@dataclass(frozen=True, slots=True)
class DeclaredTrigger:
    """What may start runs, as the author of a release declares it."""

    id: str
    type: str
    name: str = ""
    event: str = ""
    schedule: str = ""
    time_zone: str = ""
    filter: str = ""
    action: str = ""
    input: Mapping[str, Any] | None = None
    verifier: Verifier | None = None
    order_by: str = ""


WORKFLOW = "WORKFLOW"
"""The kind of a release whose action is a run that goes on by itself."""


@dataclass(frozen=True, slots=True)
class Release:
    """A release as it is pinned: what it offers, asks for and requires, and the artifact it runs."""

    name: ReleaseName
    digest: str
    filename: str
    actions: tuple[Action, ...]
    requirements: tuple[Requirement, ...]
    asks: Authority
    engine: str = ""
    """What runs its code, where the language has several."""
    libraries: tuple[str, ...] = ()
    isolation: str = ""
    """`strict`: a jail of its own for every call; `run`: the calls of a run may share one."""
    oauth2: OAuth2 | None = None
    plan: Mapping[str, Any] | None = None
    """The steps of a flow or a workflow, as `hardpoint_manifest.plan.Plan` reads them."""
    calls: tuple[str, ...] = ()
    """The actions of other capabilities that it calls, as `capability.action`."""
    kind: str = ""
    """`HTTP`, `CODE`, `FLOW` or `WORKFLOW`; empty for one that was pinned before it was kept."""
    triggers: tuple[DeclaredTrigger, ...] = ()

    def trigger(self, trigger_id: str) -> DeclaredTrigger:
        """What it declares under this id; raises NotFound that names what there is."""
        for declared in self.triggers:
            if declared.id == trigger_id:
                return declared
        known = ", ".join(declared.id for declared in self.triggers)
        fix = f"it declares {known}" if known else "it declares none: say type and action instead"
        raise NotFound("trigger", f"{self.name.capability}.{trigger_id}", fix=fix)

    def action(self, action_id: str) -> Action:
        """The action with this id; raises NotFound that names the nearest one."""
        for action in self.actions:
            if action.id == action_id:
                return action
        meant = nearest(action_id, [action.id for action in self.actions])
        fix = f"did you mean {meant}?" if meant else f"it has {', '.join(a.id for a in self.actions)}"
        raise NotFound("action", f"{self.name.capability}.{action_id}", fix=fix)

    def check_grants(self, grants: Authority) -> None:
        """Refuse grants wider than what the release asks; raises InvalidArgument GRANT_NOT_ASKED naming each."""
        excess = grants.missing_from(self.asks)
        if excess:
            wrong = [*sorted(excess.permissions), *sorted(excess.hosts)]
            raise InvalidArgument(
                {"grants": f"{self.name} does not ask for {', '.join(wrong)}"},
                reason="GRANT_NOT_ASKED",
                fix="grant only what the release asks for",
                permission=wrong[0],
                grants=",".join(wrong),
            )

    def sign_in(self, installation: str) -> OAuth2:
        """How one signs in; raises Conflict CONNECTION_NOT_OFFERED where its author does not say all of it."""
        declared = self.oauth2
        if declared is None:
            raise self._not_offered("declares nothing to sign in to", f"see hardpoint setting list {installation}")
        by_hand = f"give it an access token: hardpoint secret set {installation} {declared.setting}"
        if not declared.token_url:
            raise self._not_offered("does not say where codes are exchanged", by_hand)
        if declared.grant == "authorization_code" and not declared.authorization_url:
            raise self._not_offered("does not say where people give their consent", by_hand)
        return declared

    def _not_offered(self, why: str, fix: str) -> Conflict:
        return Conflict(f"{self.name} {why}", reason="CONNECTION_NOT_OFFERED", fix=fix, release=self.name)

    def command(self, requirement: Requirement, installation: str) -> str:
        """What a person types to provide a setting, a secret or a sign-in."""
        if self.oauth2 and requirement.key == self.oauth2.setting:
            return f"hardpoint connect {installation} (or {requirement.command(installation)})"
        return requirement.command(installation)

    def missing(self, configured: Collection[str]) -> tuple[Requirement, ...]:
        """The required keys with neither a configured value nor a default."""
        return tuple(r for r in self.requirements if r.required and r.default is None and r.key not in configured)

    def check_settings(self, configured: Collection[str], installation: str) -> None:
        """Refuse to be called without its settings; raises Conflict SETTINGS_MISSING naming keys and commands."""
        missing = self.missing(configured)
        if missing:
            keys = ",".join(requirement.key for requirement in missing)
            raise Conflict(
                f"{self.name} needs {', '.join(r.label or r.key for r in missing)}",
                reason="SETTINGS_MISSING",
                fix="; ".join(self.command(requirement, installation) for requirement in missing),
                keys=keys,
            )


def grants_of(permissions: Collection[str], hosts: Collection[str]) -> Authority:
    """Read grants as an org writes them; raises InvalidArgument for a host that is no rule."""
    for host in hosts:
        try:
            HostRule.parse(host)
        except ValueError as error:
            raise InvalidArgument({"grants.hosts": str(error)}) from None
    return Authority.of(permissions, hosts)
