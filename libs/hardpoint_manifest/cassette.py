"""Owns cassettes: what an execution did outside, written down once, so that it runs again without the outside.

A cassette is JSON, one file for each example. `write` and `read` are each other's inverse, byte for byte in all that
an execution can see: order of keys, kinds of numbers, every character. Secrets stand in it as handles.
"""

import base64
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator

from hardpoint_manifest.authority import Authority
from hardpoint_manifest.finding import ManifestError, Severity, path_text
from hardpoint_manifest.load import MAX_BYTES, load
from hardpoint_manifest.names import ActionId, RequirementKey
from hardpoint_manifest.value import Value

FOLDER: Final = "cassettes"
"""Where cassettes are, beside the capability's file."""
MOST_BYTES: Final = MAX_BYTES
"""Of one cassette."""
_UNSEEN: Final = re.compile(r"[^\x20-\x7e\n]")

Word = Annotated[str, Field(max_length=64, pattern=r"^[a-z]*$")]
Code = Annotated[str, Field(max_length=64, pattern=r"^[A-Z][A-Z0-9_]*$")]
Text = Annotated[str, Field(max_length=65_536)]


class Refusal(Value):
    """How a call ended that gave no answer: code, message and fix as every error has them."""

    code: Code
    message: Text = ""
    fix: Text = ""
    facts: Annotated[dict[Text, Text], Field(max_length=50)] = {}


def _base64(text: str) -> str:
    base64.b64decode(text, validate=True)
    return text


Base64 = Annotated[str, AfterValidator(_base64)]


class Fetched(Value):
    """The answer of a fetch; `redirects` is how many led to it."""

    status: Annotated[int, Field(ge=100, le=999)]
    headers: dict[str, str]
    body: str
    encoding: Literal["utf-8", "base64"]
    redirects: Annotated[int, Field(ge=0, le=10)] = 0

    @model_validator(mode="after")
    def _body_is_encoded(self) -> Self:
        if self.encoding == "base64":
            _base64(self.body)
        return self


class Opened(Value):
    """Bytes of a stored file, and its whole size."""

    data: Base64
    size: Annotated[int, Field(ge=0)]


class Saved(Value):
    """The handle of a stored file; without `expire_time` it was kept until it is deleted."""

    id: Annotated[str, Field(min_length=1, max_length=256)]
    name: str
    type: str
    size: Annotated[int, Field(ge=0)]
    expire_time: Annotated[str, Field(max_length=64)] | None = None


class Reach(Value):
    """Permissions, and hosts as rules."""

    permissions: Annotated[tuple[Text, ...], Field(max_length=200)] = ()
    hosts: Annotated[tuple[Text, ...], Field(max_length=1000)] = ()

    @property
    def authority(self) -> Authority:
        """The same to reckon with."""
        return Authority.of(self.permissions, self.hosts)

    @model_validator(mode="after")
    def _hosts_are_rules(self) -> Self:
        _ = self.authority
        return self


_OBJECT: Final = TypeAdapter(dict[str, Any])
_ANSWERS: Final[dict[tuple[str, str], TypeAdapter[Any]]] = {
    ("file", "open"): TypeAdapter(Opened),
    ("file", "save"): TypeAdapter(Saved),
    ("ai", "chat"): _OBJECT,
    ("ai", "embeddings"): _OBJECT,
    ("email", "send"): _OBJECT,
    ("context", "get"): _OBJECT,
}
_FETCHED: Final = TypeAdapter(Fetched)
"""What reads an answer relies on its shape, and whoever has a file can write anything into it."""


class Call(Value):
    """One call that left the jail's side: what was asked, and what came of it.

    `at` is the step of a flow that made it. One with neither answer nor error had not ended with the execution.
    """

    at: Text = ""
    service: Word
    method: Annotated[str, Field(max_length=64)]
    arguments: dict[str, Any]
    answer: Any = None
    error: Refusal | None = None
    unfinished: bool = False

    @property
    def asked(self) -> str:
        """What tells it from other calls of its step."""
        return asked(self.service, self.method, self.arguments)

    @model_validator(mode="after")
    def _has_one_end(self) -> Self:
        if (self.error is not None or self.unfinished) and self.answer is not None:
            raise ValueError("a call has an answer or an error, not both")
        if self.error is None and not self.unfinished:
            known = _FETCHED if self.service == "fetch" else _ANSWERS.get((self.service, self.method))
            if known is not None:
                known.validate_python(self.answer, strict=True)
        return self


class Cassette(Value):
    """One recorded execution of an action.

    `settings` are those that were set, `secrets` the keys of those that were; `nonce` is that of the handles in the
    calls, worth nothing since the execution is over. `key` is its idempotency key. `authority` is what it reached,
    where that was not all that its release asks, and `files` are those that its agent gave along.
    """

    cassette: Literal[1] = 1
    action: ActionId
    input: dict[str, Any]
    settings: Annotated[dict[RequirementKey, Any], Field(max_length=200)] = {}
    secrets: Annotated[tuple[RequirementKey, ...], Field(max_length=200)] = ()
    nonce: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    key: Annotated[str, Field(max_length=256)] = ""
    authority: Reach | None = None
    files: Annotated[tuple[Saved, ...], Field(max_length=100)] = ()
    calls: tuple[Call, ...] = ()
    output: Any = None
    error: Code | None = None

    def fits(self, action: str, value: Mapping[str, Any]) -> bool:
        """Whether it was recorded from this input of this action."""
        return self.action == action and _exact(_whole(self.input)) == _exact(_whole(value))


def asked(service: str, method: str, arguments: Any) -> str:
    """A call as one text, the same for the same call: neither the order of keys nor spaces matter."""
    return f"{service}.{method} {_exact(arguments)}"


def _exact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _whole(value: Any) -> Any:
    """The value with 1.0 as 1: on its way to an execution an input loses that difference."""
    if isinstance(value, Mapping):
        return {key: _whole(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_whole(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def read(data: bytes, filename: str = "cassette.json") -> Cassette:
    """Read a cassette; raises ManifestError with the line for what is none, and for what is too large."""
    document = load(data, filename)
    try:
        return Cassette.model_validate(document.data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        found = document.finding(
            "not-a-cassette",
            Severity.ERROR,
            tuple(part for part in first["loc"] if isinstance(part, str | int)),
            f"{path_text(tuple(first['loc'])) or 'the file'}: {first['msg']}"[:500],
            "record it again: hardpoint test --record",
        )
        raise ManifestError(found) from None


def write(cassette: Cassette) -> bytes:
    """The file of a cassette: indented, in the order in which it happened, and nothing in it that no eye sees.

    Raises ManifestError for one that `read` would refuse.
    """
    document = cassette.model_dump(exclude_defaults=True)
    document = {"cassette": 1, **document}
    if cassette.error is None:
        document["output"] = cassette.output
    for call, written in zip(cassette.calls, document.get("calls", ()), strict=True):
        if call.error is None and not call.unfinished:
            written["answer"] = call.answer
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    data = (_UNSEEN.sub(_escaped, text) + "\n").encode()
    read(data)
    return data


def _escaped(match: re.Match[str]) -> str:
    """A character that does not print as its JSON escape; the others as they are."""
    character = match[0]
    return character if character.isprintable() else json.dumps(character)[1:-1]
