"""The standard capabilities as data: what each of their actions needs, takes and gives.

Checks of flows and workflows read it, so that a step is checked without asking a registry. What is shipped is
`hardpoint_standard`; a test holds the two equal.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from hardpoint_manifest.model import Parameter, ParameterType

RESERVED_ORG: Final = "hardpoint"
"""The organisation that the standard capabilities belong to; nobody else's."""


@dataclass(frozen=True, slots=True)
class StandardAction:
    """One action that a step can name, as `capability.action`.

    `gives` is the type of the output as a whole; `outputs` are its fields where they are always the same.
    """

    name: str
    permissions: tuple[str, ...]
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...] = ()
    gives: ParameterType = "object"
    effect: Literal["read", "write"] = "read"
    idempotent: bool = False

    @property
    def capability(self) -> str:
        """The capability that it is an action of."""
        return self.name.partition(".")[0]


def _takes(name: str, type: ParameterType, description: str = "", **more: object) -> Parameter:
    return Parameter.model_validate({"name": name, "type": type, "required": True, "description": description, **more})


def _may_take(name: str, type: ParameterType, description: str = "", **more: object) -> Parameter:
    return _takes(name, type, description, required=False, **more)


def _list(name: str, of: Parameter, description: str = "") -> Parameter:
    return _takes(name, "array", description, items=of)


_gives = _takes
_FILE = _takes("input", "file", "The file")
_LANGUAGE = _may_take("language", "string", "The language of scanned pages", enum=("en", "de", "en+de"), default="en")
_MESSAGE_ID = _gives("message_id", "string", "The message's Message-ID")
_ENCODING = _may_take("encoding", "string", "How bytes are written as text", enum=("utf-8", "base64"), default="utf-8")
_AN_ADDRESS_OR_MORE = "An address, or a list of them"

_ACTIONS = (
    StandardAction("ocr.extract", ("file.read", "compute.heavy"), (_FILE, _LANGUAGE), gives="string", idempotent=True),
    StandardAction(
        "ocr.pages",
        ("file.read", "compute.heavy"),
        (_FILE, _LANGUAGE),
        (
            _list(
                "pages",
                _takes(
                    "item",
                    "object",
                    properties=(
                        _gives("number", "integer", "From 1"),
                        _gives("text", "string"),
                        _gives(
                            "source",
                            "string",
                            "Whether the file says the text, or it was read from a picture",
                            enum=("text", "ocr"),
                        ),
                    ),
                ),
            ),
        ),
        idempotent=True,
    ),
    StandardAction(
        "ai.analyze",
        ("ai.call", "compute.heavy"),
        (
            _takes("input", "any", "What to look at"),
            _takes("prompt", "string", "What to find in it"),
            _may_take("schema", "object", "The JSON Schema of the answer"),
            _may_take("model", "string"),
        ),
        gives="any",
        idempotent=True,
    ),
    StandardAction(
        "ai.chat",
        ("ai.call", "compute.heavy"),
        (
            _may_take("messages", "array", "The conversation: objects with role and content"),
            _may_take("prompt", "string", "In place of messages"),
            _may_take("input", "any", "What the prompt is about"),
            _may_take("schema", "object", "The JSON Schema of `data`"),
            _may_take("tools", "array"),
            _may_take("model", "string"),
        ),
        (
            _gives("text", "string"),
            _may_take("data", "any", "The answer as data, where a schema was given"),
            _may_take("tool_calls", "array"),
            _may_take("usage", "object"),
        ),
        idempotent=True,
    ),
    StandardAction(
        "ai.embed",
        ("ai.embedding", "compute.heavy"),
        (_takes("input", "any", "A text, or a list of texts"), _may_take("model", "string")),
        (_gives("vectors", "array", "One for each text"),),
        idempotent=True,
    ),
    StandardAction(
        "validate.schema",
        ("compute.light",),
        (_takes("input", "any", "The value"), _takes("schema", "object", "The JSON Schema that it must fit")),
        gives="any",
        idempotent=True,
    ),
    StandardAction(
        "database.insert",
        ("data.write", "compute.moderate"),
        (_takes("table", "string"), _takes("data", "any", "A row as an object, or a list of rows")),
        (_gives("rows", "integer", "How many were written"),),
        effect="write",
        idempotent=True,
    ),
    StandardAction(
        "database.query",
        ("data.read", "compute.moderate"),
        (
            _takes("sql", "string", "One SELECT, with $1, $2 for parameters"),
            _may_take("params", "array", "The parameters, in order"),
        ),
        (_list("rows", _takes("item", "object")),),
        idempotent=True,
    ),
    StandardAction(
        "email.send",
        ("integration.email", "compute.moderate"),
        (
            _takes("to", "any", _AN_ADDRESS_OR_MORE),
            _takes("subject", "string", "May hold placeholders: {{name}}"),
            _takes("body", "string", "The text; may hold placeholders"),
            _may_take("html", "string", "The same as HTML; values are escaped"),
            _may_take("values", "object", "What the placeholders stand for"),
            _may_take("cc", "any", _AN_ADDRESS_OR_MORE),
            _may_take("bcc", "any", _AN_ADDRESS_OR_MORE),
            _may_take("reply_to", "string"),
            _may_take("attachments", "array", "Files to send along", items=_takes("item", "file")),
        ),
        (_MESSAGE_ID,),
        effect="write",
    ),
    StandardAction(
        "notify.admin",
        ("integration.email", "compute.moderate"),
        (
            _may_take("subject", "string"),
            _may_take("message", "string"),
            _may_take("error", "any", "What went wrong, where something did"),
        ),
        (_MESSAGE_ID,),
        effect="write",
    ),
    StandardAction(
        "files.save",
        ("file.write", "compute.moderate"),
        (_takes("name", "string"), _takes("data", "string"), _ENCODING, _may_take("type", "string", "Its media type")),
        (_gives("file", "file", "The handle of what was saved"),),
        effect="write",
    ),
    StandardAction(
        "files.read",
        ("file.read", "compute.moderate"),
        (_FILE, _ENCODING),
        (_gives("data", "string"),),
        idempotent=True,
    ),
    StandardAction(
        "files.list",
        ("file.read", "compute.moderate"),
        (),
        (_list("files", _takes("item", "file")),),
        idempotent=True,
    ),
)

STANDARD_ACTIONS: Final = MappingProxyType({action.name: action for action in _ACTIONS})
"""The actions by name, `capability.action`."""
