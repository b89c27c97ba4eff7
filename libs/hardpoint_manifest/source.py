"""What authors write: the dialects of manifests, as pydantic models.

Only the shape is checked here; what names and expressions mean is the business of `rules`. The JSON Schema for
editors is generated from these models.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from hardpoint_manifest.model import ParameterType
from hardpoint_manifest.names import ActionId, CapabilityId, ParameterName, RequirementKey

Text = Annotated[str, Field(max_length=4096)]
Label = Annotated[str, Field(min_length=1, max_length=200)]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]
Effect = Literal["read", "write"]
SettingType = Literal["secret", "string", "number", "boolean", "object"]
BodyKind = Literal["json", "form", "raw"]


class Source(BaseModel):
    """Base of everything written: closed, and without guessing types (`"1"` is no number)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _shape(value: object) -> str:
    return "<mapping>" if isinstance(value, Mapping) else "<list>"


class ParameterBody(Source):
    """An input or output, under its name."""

    type: ParameterType = "any"
    required: bool = False
    description: Text = ""
    default: Any = None
    enum: list[Any] = []
    items: "ParameterBody | None" = None
    properties: "Parameters" = []


class NamedParameter(ParameterBody):
    """An input or output in a list."""

    name: ParameterName


Parameters = Annotated[
    Annotated[list[NamedParameter], Tag("<list>")] | Annotated[dict[ParameterName, ParameterBody], Tag("<mapping>")],
    Discriminator(_shape),
]


class SettingBody(Source):
    """A setting or secret, under its key."""

    type: SettingType = "string"
    label: Text = ""
    required: bool = False
    default: Any = None
    description: Text = ""
    help_url: Text = ""
    hosts: list[Label] = []


class NamedSetting(SettingBody):
    """A setting or secret in a list."""

    key: RequirementKey


Settings = Annotated[
    Annotated[list[NamedSetting], Tag("<list>")] | Annotated[dict[RequirementKey, SettingBody], Tag("<mapping>")],
    Discriminator(_shape),
]


class Auth(Source):
    """How a web API knows who calls: a bearer token, a user's password, a key in a header or the query, or OAuth2.

    The credential is a setting of type secret. A connector that names none gets one: `API_TOKEN`, `USERNAME` and
    `PASSWORD`, `API_KEY`, `ACCESS_TOKEN`.
    """

    type: Literal["none", "bearer", "basic", "api_key", "oauth2"]
    token: Text = ""
    username: Text | None = None
    password: Text | None = None
    name: Text = ""
    location: Annotated[Literal["header", "query"], Field(alias="in")] = "header"
    value: Text = ""
    grant: Literal["authorization_code", "client_credentials"] = "authorization_code"
    authorization_url: Text = ""
    token_url: Text = ""
    scopes: Annotated[list[Label], Field(max_length=100)] = []
    pkce: bool = True


class Idempotency(Source):
    """The header in which an API takes a key that tells a repeated request from a new one."""

    header: Label


class Pagination(Source):
    """How the pages of a list follow each other; what they hold becomes the list `items` of the response mapping.

    `cursor`: an expression of each answer, sent as a parameter of the next request until there is none. `page`: a
    parameter that counts, until a page is empty. `link`: the answer's Link header, on the connector's own host.
    """

    kind: Literal["cursor", "page", "link"]
    items: Text
    cursor: Text | None = None
    parameter: Label | None = None
    first: Annotated[int, Field(ge=0, le=1)] = 1
    max_pages: Annotated[int, Field(ge=1, le=10)] = 10
    max_items: Annotated[int, Field(ge=1, le=10_000)] = 1000


class Call(Source):
    """What an HTTP request consists of besides its address."""

    method: Method = "GET"
    headers: dict[Label, Text] = {}
    params: dict[Label, Any] = {}
    body: Any = None
    body_type: BodyKind | None = None
    response_mapping: dict[ParameterName, Text] = {}
    success: Text | None = None
    error: Text | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] | None = None
    idempotency: Idempotency | None = None
    retry: Annotated[int, Field(ge=0, le=5)] | None = None


class Integration(Call):
    """An HTTP request, for one action or for all actions of the capability that have none of their own."""

    type: Literal["api"] = "api"
    endpoint: Label
    auth: Auth | None = None


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


class SourceExample(Source):
    """An input and what it gives; the action may be left out when there is only one."""

    action: ActionId | None = None
    input: dict[str, Any] = {}
    expected_output: Any = None


class SourceVerifier(Source):
    """How deliveries to a webhook prove where they come from."""

    kind: Literal["slack", "github", "standard-webhooks", "hmac", "none"]
    secret: RequirementKey | None = None
    header: Label | None = None


class SourceTrigger(Source):
    """What starts a run without an agent asking."""

    id: ActionId
    name: Text = ""
    type: Literal["webhook", "schedule", "event"]
    event: Text = ""
    schedule: Text = ""
    action: ActionId | None = None
    verifier: SourceVerifier | None = None


class Step(Source):
    """One step of a workflow; every key besides these is an argument of its action."""

    model_config = ConfigDict(extra="allow")

    id: ActionId
    action: Label
    input: Any = None
    output: ParameterName | None = None
    effect: Effect | None = None
    retry: Annotated[int, Field(ge=0, le=10)] | None = None
    idempotency_key: Text | None = None


class ErrorHandling(Source):
    """What a workflow does when a step fails."""

    on_error: ActionId | None = None
    retry: Annotated[int, Field(ge=0, le=10)] = 0


class Workflow(Source):
    """Steps that run one after another."""

    trigger: Label
    filter: Text | None = None
    steps: Annotated[list[Step], Field(min_length=1, max_length=100)]
    schemas: dict[Label, dict[str, Any]] = {}
    error_handling: ErrorHandling = ErrorHandling()


class Flow(Source):
    """A drawing of the visual builder: nodes and the edges between them."""

    nodes: list[dict[str, Any]]
    edges: list[dict[str, Any]] = []


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


class Header(Common):
    """The header of a code file; `exports`, when given, names the functions that are actions.

    `engine` is what runs it, of those that its language has; `libraries` what it imports besides its language's own;
    `isolation: strict` asks for a jail of its own for every call.
    """

    actions: Annotated[list[HeaderAction], Field(min_length=1, max_length=200)]
    exports: list[ActionId] | None = None
    config: Settings = []
    allowed_domains: list[Label] = []
    engine: Label | None = None
    isolation: Label | None = None
    libraries: Annotated[list[Label], Field(max_length=20)] = []
