"""The standard capabilities as data: what each of their actions needs, takes and gives.

Checks of flows and workflows read it, so that a step is checked without asking a registry. What is shipped is
`hardpoint_standard`; a test holds the two equal.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from hardpoint_manifest.model import Parameter, ParameterType


@dataclass(frozen=True, slots=True)
class StandardAction:
    """One action that a step can name, as `capability.action`.

    `gives` is the type of the output as a whole; `outputs` are its fields where they are always the same. `may_need`
    are permissions that only some inputs need. `hosts` are those that it asks something of itself.
    """

    name: str
    permissions: tuple[str, ...]
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...] = ()
    gives: ParameterType = "object"
    effect: Literal["read", "write"] = "read"
    idempotent: bool = False
    may_need: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    @property
    def capability(self) -> str:
        """The capability that it is an action of."""
        return self.name.partition(".")[0]


def _required(name: str, type: ParameterType, **more: object) -> Parameter:
    return Parameter.model_validate({"name": name, "type": type, "required": True, **more})


def _optional(name: str, type: ParameterType, **more: object) -> Parameter:
    return Parameter.model_validate({"name": name, "type": type, **more})


def _of(type: ParameterType, *properties: Parameter) -> Parameter:
    """What an array holds."""
    return Parameter(name="item", type=type, properties=properties)


_FILE = _required("input", "file")
_DOCUMENT = (
    _FILE,
    _optional("language", "string", enum=("en", "de"), default="en"),
    _optional("first", "integer", default=1),
    _optional("last", "integer"),
)
_PAGE = _of(
    "object",
    _required("number", "integer"),
    _required("text", "string"),
    _required("source", "string", enum=("text", "ocr")),
)
_PASSAGE = _of(
    "object",
    _required("document", "string"),
    _required("part", "integer"),
    _required("text", "string"),
    _optional("page", "integer"),
    _optional("section", "string"),
    _optional("start", "integer"),
    _required("rank", "number"),
)
_RANGE = (
    _required("calendar", "string"),
    _required("start", "string"),
    _required("end", "string"),
    _optional("time_zone", "string", default="UTC"),
)
_FIELDS = (_optional("description", "string"), _optional("location", "string"), _optional("repeats", "string"))
_WRITTEN = (_required("event", "string"), _required("etag", "string"))
_EVENT = _of(
    "object",
    *_WRITTEN,
    _required("uid", "string"),
    _required("summary", "string"),
    _required("start", "string"),
    _required("end", "string"),
    _required("all_day", "boolean"),
    _required("recurring", "boolean"),
    _required("busy", "boolean"),
    _required("location", "string"),
    _required("description", "string"),
)
_MAIL = tuple(_required(name, "string") for name in ("message", "from", "to", "cc", "subject", "date", "message_id"))
_HEADER = (*_MAIL, _required("size", "integer"))
_ONE_MAIL = (_required("message", "string"), _optional("folder", "string", default="INBOX"))
_ATTACHED = _of("object", _required("name", "string"), _required("type", "string"), _required("size", "integer"))
_LEFT_OUT = _required("left_out", "array", items=_of("string"))
_CALENDAR = ("integration.calendar", "compute.heavy")
_MODEL = _optional("model", "string")
_ENCODING = _optional("encoding", "string", enum=("utf-8", "base64"), default="utf-8")
_SAVED_FILE = (_required("name", "string"), _required("data", "string"), _ENCODING, _optional("type", "string"))
_MESSAGE_ID = (_required("message_id", "string"),)

_CONTACT = _required("contact", "string")
_CONTACTS = _required("contacts", "array", items=_of("object"))


def _crm(
    name: str, method: str, inputs: tuple[Parameter, ...], made: str, *outputs: Parameter, reads: bool = False
) -> StandardAction:
    """A request of the connector `crm`; `made` is the output that is an id, where there is one."""
    ids = (_required(made, "string"),) if made else ()
    effect: Literal["read", "write"] = "read" if reads else "write"
    permissions = (f"network.http.{method}",)
    return StandardAction(
        f"crm.{name}", permissions, inputs, (*ids, *outputs), effect=effect, idempotent=reads, hosts=("api.hubapi.com",)
    )


_ACTIONS = (
    StandardAction(
        "ai.analyze",
        ("ai.call", "compute.heavy"),
        (_required("input", "any"), _required("prompt", "string"), _optional("schema", "object"), _MODEL),
        gives="any",
        idempotent=True,
    ),
    StandardAction(
        "ai.chat",
        ("ai.call", "compute.heavy"),
        (
            _optional("messages", "array"),
            _optional("prompt", "string"),
            _optional("input", "any"),
            _optional("schema", "object"),
            _optional("tools", "array"),
            _MODEL,
        ),
        (
            _required("text", "string"),
            _optional("data", "any"),
            _optional("tool_calls", "array"),
            _optional("usage", "object"),
        ),
        idempotent=True,
    ),
    StandardAction(
        "ai.embed",
        ("ai.embedding", "compute.heavy"),
        (_required("input", "any"), _MODEL),
        (_required("vectors", "array"),),
        idempotent=True,
    ),
    StandardAction(
        "ai.vision",
        ("ai.call", "ai.vision", "file.read", "compute.heavy"),
        (_FILE, _required("prompt", "string"), _optional("schema", "object"), _MODEL),
        (_required("text", "string"), _optional("data", "any"), _optional("usage", "object")),
        idempotent=True,
    ),
    StandardAction(
        "calendar.busy",
        _CALENDAR,
        _RANGE,
        (
            _required("busy", "array", items=_of("object", _required("start", "string"), _required("end", "string"))),
            _LEFT_OUT,
        ),
        idempotent=True,
    ),
    StandardAction(
        "calendar.calendars",
        _CALENDAR,
        (),
        (
            _required(
                "calendars", "array", items=_of("object", _required("calendar", "string"), _required("name", "string"))
            ),
        ),
        idempotent=True,
    ),
    StandardAction(
        "calendar.create",
        _CALENDAR,
        (
            _required("calendar", "string"),
            _required("summary", "string"),
            _required("start", "string"),
            _optional("end", "string"),
            _optional("time_zone", "string", default="UTC"),
            *_FIELDS,
        ),
        _WRITTEN,
        effect="write",
        idempotent=True,
    ),
    StandardAction("calendar.delete", _CALENDAR, _WRITTEN, effect="write"),
    StandardAction(
        "calendar.events",
        _CALENDAR,
        (*_RANGE, _optional("limit", "integer", default=100)),
        (_required("events", "array", items=_EVENT), _required("more", "boolean"), _LEFT_OUT),
        idempotent=True,
    ),
    StandardAction(
        "calendar.update",
        _CALENDAR,
        (
            *_WRITTEN,
            *(_optional(name, "string") for name in ("summary", "start", "end", "time_zone")),
            *_FIELDS,
        ),
        _WRITTEN,
        effect="write",
    ),
    _crm("add-note", "post", (_CONTACT, _required("text", "string"), _required("time", "string")), "note"),
    _crm("create", "post", (_required("properties", "object"),), "contact"),
    _crm("get", "get", (_CONTACT,), "contact", _required("properties", "object"), reads=True),
    _crm("list", "get", (), "", _CONTACTS, _required("more", "boolean"), reads=True),
    _crm("notes", "post", (_CONTACT,), "", _required("notes", "array", items=_of("object")), reads=True),
    _crm(
        "search",
        "post",
        (_required("query", "string"), _optional("after", "string", default="0")),
        "",
        _CONTACTS,
        _required("total", "integer"),
        reads=True,
    ),
    _crm("update", "patch", (_CONTACT, _required("properties", "object")), "contact"),
    StandardAction(
        "database.delete",
        ("data.delete", "compute.moderate"),
        (_required("table", "string"), _required("where", "object")),
        (_required("rows", "integer"),),
        effect="write",
        idempotent=True,
    ),
    StandardAction(
        "database.insert",
        ("data.write", "compute.moderate"),
        (_required("table", "string"), _required("data", "any")),
        (_required("rows", "integer"),),
        effect="write",
        idempotent=True,
    ),
    StandardAction(
        "database.query",
        ("data.read", "compute.moderate"),
        (_required("sql", "string"), _optional("params", "array")),
        (_required("rows", "array", items=_of("object")),),
        idempotent=True,
    ),
    StandardAction(
        "database.update",
        ("data.write", "compute.moderate"),
        (_required("table", "string"), _required("data", "object"), _required("where", "object")),
        (_required("rows", "integer"),),
        effect="write",
        idempotent=True,
    ),
    StandardAction(
        "email.attachments",
        ("integration.email", "file.write", "compute.heavy"),
        _ONE_MAIL,
        (_required("files", "array", items=_of("file")),),
        effect="write",
    ),
    StandardAction(
        "email.list",
        ("integration.email", "compute.heavy"),
        (
            _optional("folder", "string", default="INBOX"),
            *(_optional(name, "string") for name in ("from", "subject", "text", "since", "before")),
            _optional("unseen", "boolean"),
            _optional("limit", "integer", default=20),
        ),
        (
            _required("messages", "array", items=_of("object", *_HEADER, _required("seen", "boolean"))),
            _required("more", "boolean"),
        ),
        idempotent=True,
    ),
    StandardAction(
        "email.read",
        ("integration.email", "compute.heavy"),
        _ONE_MAIL,
        (
            *_HEADER,
            _required("text", "string"),
            _required("html", "string"),
            _required("truncated", "boolean"),
            _required("attachments", "array", items=_ATTACHED),
        ),
        idempotent=True,
    ),
    StandardAction(
        "email.send",
        ("integration.email", "compute.moderate"),
        (
            _required("to", "any"),
            _required("subject", "string"),
            _required("body", "string"),
            _optional("html", "string"),
            _optional("values", "object"),
            _optional("cc", "any"),
            _optional("bcc", "any"),
            _optional("reply_to", "string"),
            _optional("attachments", "array", items=_of("file")),
        ),
        _MESSAGE_ID,
        effect="write",
        may_need=("file.read",),
    ),
    StandardAction(
        "files.list",
        ("file.read", "compute.moderate"),
        (),
        (_required("files", "array", items=_of("file")),),
        idempotent=True,
    ),
    StandardAction(
        "files.read",
        ("file.read", "compute.moderate"),
        (_FILE, _ENCODING, _optional("offset", "integer", default=0), _optional("length", "integer", default=600_000)),
        (_required("data", "string"), _required("bytes", "integer")),
        idempotent=True,
    ),
    StandardAction(
        "files.save",
        ("file.write", "compute.moderate"),
        _SAVED_FILE,
        (_required("file", "file"),),
        effect="write",
    ),
    StandardAction(
        "files.temporary",
        ("file.write", "compute.moderate"),
        (*_SAVED_FILE, _optional("expires_in", "integer", default=3600)),
        (_required("file", "file"),),
        effect="write",
    ),
    StandardAction(
        "knowledge.forget",
        ("data.delete", "compute.moderate"),
        (_required("document", "string"),),
        (_required("passages", "integer"),),
        effect="write",
        idempotent=True,
    ),
    StandardAction(
        "knowledge.ingest",
        ("data.write", "data.delete", "compute.moderate"),
        (_optional("file", "file"), _optional("text", "string"), _optional("document", "string")),
        (_required("document", "string"), _required("passages", "integer")),
        effect="write",
        idempotent=True,
        may_need=("file.read", "data.read", "ai.embedding", "compute.heavy"),
    ),
    StandardAction(
        "knowledge.search",
        ("data.read", "compute.moderate"),
        (_required("query", "string"), _optional("limit", "integer", default=5)),
        (_required("passages", "array", items=_PASSAGE),),
        idempotent=True,
        may_need=("ai.embedding",),
    ),
    StandardAction(
        "notify.admin",
        ("integration.email", "compute.moderate"),
        (_optional("subject", "string"), _optional("message", "string"), _optional("error", "any")),
        _MESSAGE_ID,
        effect="write",
    ),
    StandardAction("ocr.extract", ("file.read", "compute.heavy"), _DOCUMENT, gives="string", idempotent=True),
    StandardAction(
        "ocr.pages",
        ("file.read", "compute.heavy"),
        _DOCUMENT,
        (_required("pages", "array", items=_PAGE),),
        idempotent=True,
    ),
    StandardAction(
        "validate.schema",
        ("compute.moderate",),
        (_required("input", "any"), _required("schema", "object")),
        gives="any",
        idempotent=True,
    ),
)

STANDARD_ACTIONS: Final = MappingProxyType({action.name: action for action in _ACTIONS})
"""The actions by name, `capability.action`."""
