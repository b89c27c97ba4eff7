"""The manifest: what a release is, in one form whatever dialect its author wrote.

Frozen values, no I/O. `normalise` builds them from a checked document; everybody else only reads them.
"""

from enum import StrEnum
from typing import Any, Literal

from pydantic import model_validator

from hardpoint_manifest.authority import COMPUTE_SECONDS, Authority
from hardpoint_manifest.engine import ENGINES, ONLY_IN_SLOTS
from hardpoint_manifest.names import ActionId, CapabilityId, ParameterName, RequirementKey
from hardpoint_manifest.plan import Plan
from hardpoint_manifest.value import Value

JsonSchema = dict[str, Any]
ParameterType = Literal["string", "number", "integer", "boolean", "object", "array", "file", "any"]
CONNECTOR_AUTH = "/capability/api/auth"
"""Where a connector says how its API knows who calls, as a JSON Pointer."""
ASKED_SERVICES = "/permissions"
"""Where code asks for services of the organisation, as a JSON Pointer."""
_NEEDING = (CONNECTOR_AUTH, "/capability/workflow/", ASKED_SERVICES)
REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
"""The methods that do the same when they are done again (RFC 9110, 9.2.2)."""
JSON_SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"

FILE_SCHEMA: JsonSchema = {
    "type": "object",
    "description": "A file kept by Hardpoint, named by its handle",
    "properties": {
        "id": {"type": "string", "minLength": 1},
        "name": {"type": "string"},
        "type": {"type": "string"},
        "size": {"type": "integer", "minimum": 0},
        "expire_time": {"type": "string"},
    },
    "required": ["id"],
    "additionalProperties": False,
}


class Kind(StrEnum):
    """How the actions of a capability run."""

    HTTP = "http"
    CODE = "code"
    FLOW = "flow"
    WORKFLOW = "workflow"


class Parameter(Value):
    """One named input or output of an action, or one property of an object parameter."""

    name: ParameterName
    type: ParameterType = "any"
    required: bool = False
    description: str = ""
    default: Any = None
    enum: tuple[Any, ...] = ()
    items: "Parameter | None" = None
    properties: tuple["Parameter", ...] = ()

    def to_schema(self) -> JsonSchema:
        """The JSON Schema of one value of this parameter."""
        schema: JsonSchema = {}
        if self.type == "file":
            schema.update(FILE_SCHEMA)
        elif self.type != "any":
            schema["type"] = self.type
        if self.description:
            schema["description"] = self.description
        if self.default is not None:
            schema["default"] = self.default
        if self.enum:
            schema["enum"] = list(self.enum)
        if self.items is not None:
            schema["items"] = self.items.to_schema()
        if self.properties:
            schema.update(_closed_object(self.properties))
        return schema


def _closed_object(parameters: tuple[Parameter, ...]) -> JsonSchema:
    schema: JsonSchema = {
        "type": "object",
        "properties": {parameter.name: parameter.to_schema() for parameter in parameters},
        "additionalProperties": False,
    }
    required = [parameter.name for parameter in parameters if parameter.required]
    if required:
        schema["required"] = required
    return schema


class Body(Value):
    """The body of a request: a template structure sent as JSON or as a form, or text sent as it is."""

    kind: Literal["json", "form", "raw"] = "json"
    content: Any = None


class Basic(Value):
    """A user's name and password, templates of settings and secrets; they are sent together, encoded."""

    username: str
    password: str


class OAuth2(Value):
    """How people let the capability act for them at a provider; `setting` holds the access token."""

    setting: RequirementKey
    grant: Literal["authorization_code", "client_credentials"] = "authorization_code"
    authorization_url: str = ""
    token_url: str = ""
    scopes: tuple[str, ...] = ()
    pkce: bool = True
    revocation_url: str = ""


class Pagination(Value):
    """How the pages of a list follow each other: `items` and `cursor` are expressions about each answer."""

    kind: Literal["cursor", "page", "link"]
    items: str
    cursor: str = ""
    parameter: str = ""
    first: int = 1
    max_pages: int = 10
    max_items: int = 1000


class HttpCall(Value):
    """One HTTP request and how its response becomes an output; every text may hold `${...}` or `{{...}}`.

    `response_mapping` names an expression for each output; when empty, the whole response is the output.
    `success` is an expression that must hold for the call to have worked; `error` is one that says why it did not.
    `retry` is how often a request that cannot happen twice is made again, `idempotency_header` what makes others so.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] = "GET"
    url: str
    headers: dict[str, str] = {}
    query: dict[str, Any] = {}
    body: Body | None = None
    response_mapping: dict[str, str] = {}
    success: str | None = None
    error: str | None = None
    timeout_seconds: float | None = None
    basic: Basic | None = None
    idempotency_header: str = ""
    retry: int = 0
    pagination: Pagination | None = None


class Code(Value):
    """Code of an inner action: the body of `async def run(self, input)`, or of `async run(input)`."""

    language: Literal["python", "javascript"]
    body: str


class Action(Value):
    """One callable function of a capability."""

    id: ActionId
    name: str
    description: str = ""
    inputs: tuple[Parameter, ...] = ()
    outputs: tuple[Parameter, ...] = ()
    http: HttpCall | None = None
    code: Code | None = None
    """Of an inner action only."""
    effect: Literal["read", "write"] = "read"
    idempotent: bool = False
    """Whether doing it again with the same idempotency key does nothing more."""

    def input_schema(self) -> JsonSchema:
        """The JSON Schema 2020-12 of the input: closed when inputs are declared, any object when not."""
        schema = _closed_object(self.inputs) if self.inputs else {"type": "object"}
        return {"$schema": JSON_SCHEMA_DIALECT, **schema}

    def output_schema(self) -> JsonSchema:
        """The JSON Schema 2020-12 of the output: closed when outputs are declared, anything when not."""
        schema = _closed_object(self.outputs) if self.outputs else {}
        return {"$schema": JSON_SCHEMA_DIALECT, **schema}

    def with_defaults(self, values: dict[str, Any]) -> dict[str, Any]:
        """The input with the declared default of every input that is absent."""
        defaults = {p.name: p.default for p in self.inputs if p.default is not None and p.name not in values}
        return {**values, **defaults}


class Requirement(Value):
    """A setting or a secret that an installation gives to the capability, by key.

    A secret is sent to `hosts` alone; `pointer` is the JSON Pointer of its declaration in the author's document.
    """

    key: RequirementKey
    label: str
    type: Literal["secret", "string", "number", "boolean", "object"] = "string"
    required: bool = False
    default: Any = None
    description: str = ""
    help_url: str = ""
    hosts: tuple[str, ...] = ()
    pointer: str = ""

    @property
    def declared(self) -> bool:
        """Whether the author wrote it down, rather than an `auth`, a step or a permission that needs it."""
        return not self.pointer.startswith(_NEEDING)

    @property
    def secret(self) -> bool:
        """Whether the value may only be handled by the broker."""
        return self.type == "secret"


class Answer(Value):
    """What becomes of a step of a workflow in an example: what it `gives`, or the reason with which it `fails`.

    `given` is what it is to be given, and may hold matchers. `revert` is the same of what undoes it; without one
    nothing is to undo it.
    """

    gives: Any = None
    fails: str = ""
    given: Any = None
    revert: "Answer | None" = None


Answers = Literal["skipped"] | Answer | tuple[Answer, ...]
"""Of a step that is not to be done, of one that is, or of each item that one goes through."""


class Example(Value):
    """One input of an action and what it gives; the expected output may hold matchers.

    `name` is its own among the examples. `expected_error` is the reason of an action that is to fail. The others are of
    a workflow: what becomes of its `steps`, by id; the `settings` that have a value; the `trigger`, if that is not the
    input.
    """

    name: str = ""
    action: ActionId
    input: dict[str, Any] = {}
    expected_output: Any = None
    expected_error: str = ""
    steps: dict[str, Answers] = {}
    settings: dict[str, Any] = {}
    trigger: dict[str, Any] | None = None


class Verifier(Value):
    """How a delivery to a webhook proves where it comes from; `none` refuses every delivery.

    The headers are of `hmac`, in small letters. Signed is the body, or with a `timestamp_header` the text of that, a
    full stop and the body: then a delivery is good within five minutes of that time, in seconds since 1970. It may be
    `header` itself, which then is a list (`t=1492774577,v1=5257a869...`). `id_header` has what the sender calls a
    delivery, and is not signed.
    """

    kind: Literal["slack", "github", "standard-webhooks", "hmac", "none"]
    secret: RequirementKey | None = None
    header: str | None = None
    id_header: str | None = None
    timestamp_header: str | None = None


class Trigger(Value):
    """What starts a run without an agent asking.

    `filter` is an expression that an event must fulfil; `input` is the action's input, a template. Both know `event`
    and `trigger`. Of an upload (`file.uploaded`), `event.file` is the file's handle, and the filter knows `file`, as
    `uploads.seen` shows it. Events with the same value of `order_by`, an expression of both, run one after the other.
    """

    id: ActionId
    name: str = ""
    type: Literal["webhook", "schedule", "event"]
    event: str = ""
    schedule: str = ""
    time_zone: str = ""
    action: ActionId | None = None
    verifier: Verifier | None = None
    filter: str = ""
    input: dict[str, Any] | None = None
    order_by: str = ""


class Limits(Value):
    """How much one execution may use."""

    compute: Literal["light", "moderate", "heavy"] = "light"

    def wall_seconds(self, policy_seconds: float) -> float:
        """Seconds that one execution may take: the smaller of the compute tier and the policy's limit."""
        return min(COMPUTE_SECONDS[self.compute], policy_seconds)


class Manifest(Value):
    """The document that defines a release, normalised; `hosts` holds the declared ones and those of its URLs."""

    id: CapabilityId
    name: str
    icon: str = ""
    version: str
    author: str = ""
    description: str = ""
    kind: Kind
    language: Literal["python", "javascript"] | None = None
    engine: Literal["node", "quickjs"] | None = None
    isolation: Literal["strict", "run"] | None = None
    """Strict: every call has a jail that serves no other. Run: the calls of one run may share one."""
    libraries: tuple[str, ...] = ()
    category: str = ""
    tags: tuple[str, ...] = ()
    actions: tuple[Action, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    permissions: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    oauth2: OAuth2 | None = None
    plan: Plan | None = None
    """The steps of a flow or a workflow."""
    inner: tuple[Action, ...] = ()
    """The requests and the code of its own that the steps of a flow name; they are offered to nobody."""
    calls: tuple[str, ...] = ()
    """The actions of other capabilities that it calls, as `capability.action`."""
    limits: Limits = Limits()
    license: str = ""
    documentation_url: str = ""
    support_url: str = ""
    repository_url: str = ""

    @model_validator(mode="after")
    def _language_follows_kind(self) -> "Manifest":
        if (self.kind is Kind.CODE) != (self.language is not None):
            raise ValueError("a language belongs to code, and only to code")
        if self.engine is not None and self.engine not in ENGINES.get(self.language or "", ()):
            raise ValueError("an engine belongs to a language that has it")
        if self.isolation == "strict" and (self.kind is not Kind.CODE or self.engine in ONLY_IN_SLOTS):
            raise ValueError("strict isolation belongs to code whose engine has it")
        if self.isolation == "run" and self.kind not in (Kind.CODE, Kind.FLOW):
            raise ValueError("the isolation of a run belongs to code and flows")
        if self.libraries and self.language != "python":
            raise ValueError("libraries belong to Python")
        return self

    @property
    def authority(self) -> Authority:
        """The permissions and hosts that this release asks for."""
        return Authority(frozenset(self.permissions), frozenset(self.hosts))

    def action(self, action_id: str) -> Action | None:
        """The action with this id, or None."""
        return next((action for action in self.actions if action.id == action_id), None)

    def inner_action(self, action_id: str) -> Action | None:
        """The inner action with this id, or None."""
        return next((action for action in self.inner if action.id == action_id), None)

    def requirement(self, key: str) -> Requirement | None:
        """The requirement with this key, or None."""
        return next((requirement for requirement in self.requirements if requirement.key == key), None)
