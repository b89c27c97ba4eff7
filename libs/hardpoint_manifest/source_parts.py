"""What authors write in documents of every dialect: parameters, settings, and how a web API is called."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from hardpoint_manifest.model import ParameterType
from hardpoint_manifest.names import ParameterName, RequirementKey

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
    revocation_url: Text = ""


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
