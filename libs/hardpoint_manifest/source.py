"""What authors write: the dialects of manifests, as pydantic models.

Only the shape is checked here; what names and expressions mean is the business of `rules`. The JSON Schema for
editors is generated from these models.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from hardpoint_manifest.names import ActionId, CapabilityId, RequirementKey
from hardpoint_manifest.source_flow import Flow
from hardpoint_manifest.source_parts import (
    Auth,
    Call,
    Effect,
    Idempotency,
    Integration,
    Label,
    NamedParameter,
    NamedSetting,
    Pagination,
    ParameterBody,
    Parameters,
    SettingBody,
    Settings,
    Source,
    Text,
)
from hardpoint_manifest.source_workflow import Workflow

__all__ = [
    "Api",
    "Auth",
    "Call",
    "Capability",
    "CapabilityFile",
    "Common",
    "Endpoint",
    "Flow",
    "Header",
    "HeaderAction",
    "Integration",
    "NamedParameter",
    "NamedSetting",
    "Pagination",
    "ParameterBody",
    "SettingBody",
    "Shared",
    "SourceAction",
    "SourceAnswer",
    "SourceAnswers",
    "SourceExample",
    "SourceReverted",
    "SourceTrigger",
    "SourceVerifier",
    "Workflow",
]

Reason = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]
"""Why something fails: `UPSTREAM_ERROR`."""


class SourceAction(Source):
    """An action of a declarative capability."""

    id: ActionId
    name: Text = ""
    description: Text = ""
    inputs: Parameters = []
    outputs: Parameters = []
    effect: Effect | None = None
    integration: Integration | None = None


class Endpoint(Call):
    """An action of an API connector."""

    id: ActionId
    name: Text = ""
    description: Text = ""
    path: Text
    pagination: Pagination | None = None
    inputs: Parameters = []
    outputs: Parameters = []
    effect: Effect | None = None


class Shared(Source):
    """What the endpoints of a connector have in common, besides where they are and who calls."""

    headers: dict[Label, Text] = {}
    success: Text | None = None
    error: Text | None = None
    idempotency: Idempotency | None = None
    retry: Annotated[int, Field(ge=0, le=5)] | None = None


class Api(Shared):
    """What all endpoints of a connector share."""

    base_url: Label
    auth: Auth | None = None


def _how_answered(value: object) -> str:
    return "<name>" if isinstance(value, str) else "<list>" if isinstance(value, list) else "<mapping>"


class SourceReverted(Source):
    """What becomes of a call in an example: what it gives, or the reason with which it fails; `given` is expected."""

    given: Any = None
    gives: Any = None
    fails: Reason | None = None


class SourceAnswer(SourceReverted):
    """What becomes of a step in an example, and of what undoes it."""

    revert: SourceReverted | None = None


SourceAnswers = Annotated[
    Annotated[Literal["skipped"], Tag("<name>")]
    | Annotated[SourceAnswer, Tag("<mapping>")]
    | Annotated[list[SourceAnswer], Tag("<list>")],
    Discriminator(_how_answered),
]
"""Of a step; with `for_each`, of each item."""


class SourceExample(Source):
    """An input and what it gives, or the reason with which it fails; one of several actions is named.

    Of a workflow, `steps` says what becomes of each step that asks somebody, by id; `settings` are those with a value,
    and `trigger` what started it, if that is not the input.
    """

    name: ActionId | None = None
    action: ActionId | None = None
    input: dict[str, Any] = {}
    expected_output: Any = None
    expected_error: Reason | None = None
    steps: dict[ActionId, SourceAnswers] = {}
    settings: dict[RequirementKey, Any] = {}
    trigger: dict[str, Any] | None = None


class SourceVerifier(Source):
    """How deliveries to a webhook prove where they come from.

    `header` is where the sender signs as `hmac`; `id_header` and `timestamp_header` are where it says what it calls the
    delivery, and when it signed.
    """

    kind: Literal["slack", "github", "standard-webhooks", "hmac", "none"]
    secret: RequirementKey | None = None
    header: Label | None = None
    id_header: Label | None = None
    timestamp_header: Label | None = None


class SourceTrigger(Source):
    """What starts a run without an agent asking; `filter`, `input` and `order_by` know `event` and `trigger`."""

    id: ActionId
    name: Text = ""
    type: Literal["webhook", "schedule", "event"]
    event: Text = ""
    schedule: Text = ""
    time_zone: Annotated[str, Field(max_length=64)] = ""
    filter: Text = ""
    order_by: Text = ""
    action: ActionId | None = None
    input: dict[str, Any] | None = None
    verifier: SourceVerifier | None = None


class Common(Source):
    """What every capability says about itself."""

    id: CapabilityId
    name: Annotated[str, Field(max_length=200)] = ""
    icon: Annotated[str, Field(max_length=16)] = ""
    version: Annotated[str, Field(max_length=64)] = ""
    author: Annotated[str, Field(max_length=200)] = ""
    description: Text = ""
    category: Annotated[str, Field(max_length=64)] = ""
    tags: Annotated[list[Label], Field(max_length=20)] = []
    permissions: list[Label] = []
    hosts: list[Label] = []
    examples: list[SourceExample] = []
    triggers: list[SourceTrigger] = []
    license: Annotated[str, Field(max_length=64)] = ""
    documentation_url: Text = ""
    support_url: Text = ""
    repository_url: Text = ""


class Capability(Common):
    """A capability in a YAML or JSON file: declarative, connector, workflow or flow."""

    type: Literal["api", "api-connector", "declarative", "workflow", "flow"] | None = None
    actions: Annotated[list[SourceAction], Field(max_length=200)] = []
    integration: Integration | None = None
    configuration: Settings = []
    api: Api | None = None
    endpoints: Annotated[list[Endpoint], Field(max_length=200)] = []
    workflow: Workflow | None = None
    flow: Flow | None = None


class CapabilityFile(Source):
    """A YAML or JSON file."""

    capability: Capability


class HeaderAction(Source):
    """An action of a code file, as the jail describes it."""

    id: ActionId
    is_async: Annotated[bool, Field(alias="async")] = False
    declared: bool = False
    name: Text = ""
    description: Text = ""
    inputs: Parameters = []
    outputs: Parameters = []
    effect: Effect | None = None
    idempotent: bool = False


class Header(Common):
    """The header of a code file; `exports`, when given, names the functions that are actions.

    `engine` is what runs it, of those that its language has; `libraries` what it imports besides its language's own;
    `isolation: strict` asks for a jail of its own for every call, `run` lets the calls of one run share it. `calls`
    are the actions of other capabilities that it calls, as `capability.action`.
    """

    actions: Annotated[list[HeaderAction], Field(min_length=1, max_length=200)]
    exports: list[ActionId] | None = None
    config: Settings = []
    allowed_domains: list[Label] = []
    calls: Annotated[list[Label], Field(max_length=100)] = []
    engine: Label | None = None
    isolation: Label | None = None
    libraries: Annotated[list[Label], Field(max_length=20)] = []
