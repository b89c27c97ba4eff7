"""The organisation's mail: one message to send, its texts perhaps with placeholders, and those that have come.

What has come was written by strangers. It is taken apart here, in the jail, in bounded steps: so many parts, so deep,
so long, in a known encoding. What it says is data; nothing in it is followed or shown as more than text.
"""

import codecs
import html
import json
import re
from contextlib import suppress
from email import message_from_bytes, message_from_string, policy
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import parsedate_to_datetime

from hardpoint_sdk import action, capability

PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][\w.-]*)\s*\}\}")
MOST_PARTS = 1000
MOST_CHARACTERS = 200_000
"""Of a mail's text, and of its HTML."""
MOST_HEADER = 8192
NOT_ENCODINGS = {"idna", "punycode", "undefined"}
UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\\u2028\u2029]+")

FOLDER = {"name": "folder", "type": "string", "default": "INBOX"}
MESSAGE = {"name": "message", "type": "string", "required": True, "description": "`message` of what `list` gives"}
HEADER = [
    {"name": "message", "type": "string", "required": True, "description": "By which it is read, in its folder"},
    {"name": "from", "type": "string", "required": True},
    {"name": "to", "type": "string", "required": True},
    {"name": "cc", "type": "string", "required": True},
    {"name": "subject", "type": "string", "required": True},
    {"name": "date", "type": "string", "required": True, "description": "Empty where the sender wrote none"},
    {"name": "message_id", "type": "string", "required": True},
    {"name": "size", "type": "integer", "required": True, "description": "Bytes"},
]


class NotReadable(Exception):
    """A mail is made so that it cannot be taken apart."""


class ValueMissing(Exception):
    """A placeholder stands for nothing."""


@capability(
    id="email",
    name="Email",
    icon="✉️",
    version="1.1.0",
    author="Hardpoint",
    description="Send mail by the organisation's mail server, and read what has come",
    category="communication",
    tags=["mail", "smtp", "imap"],
    permissions=["integration.email", "file.read", "file.write", "compute.moderate", "compute.heavy"],
)
class Email:
    @action(
        description="Send a mail",
        inputs=[
            {"name": "to", "type": "any", "required": True, "description": "An address, or a list of addresses"},
            {"name": "subject", "type": "string", "required": True, "description": "May hold placeholders"},
            {
                "name": "body",
                "type": "string",
                "required": True,
                "description": "The text; may hold placeholders such as {{customer.name}}, filled from `values`",
            },
            {
                "name": "html",
                "type": "string",
                "description": "The same as HTML; what placeholders stand for is escaped",
            },
            {
                "name": "values",
                "type": "object",
                "description": "What placeholders stand for; without it there are none",
            },
            {"name": "cc", "type": "any", "description": "An address, or a list of addresses"},
            {"name": "bcc", "type": "any", "description": "An address, or a list of addresses"},
            {"name": "reply_to", "type": "string"},
            {
                "name": "attachments",
                "type": "array",
                "items": {"type": "file"},
                "description": "Files to send along; they need the permission file.read",
            },
        ],
        outputs=[{"name": "message_id", "type": "string", "required": True}],
        effect="write",
    )
    async def send(self, input):
        asked = {name: input[name] for name in ("to", "cc", "bcc", "reply_to") if name in input}
        for name in ("subject", "body", "html"):
            if name in input:
                escape = html.escape if name == "html" else str
                asked[name] = filled(input[name], input["values"], escape) if "values" in input else input[name]
        if input.get("attachments"):
            asked["attachments"] = [{"name": "attachment", **handle} for handle in input["attachments"]]
        return await self.email.send(**asked)

    @action(
        description="The newest mails of a folder that fit all that is given",
        inputs=[
            FOLDER,
            {"name": "from", "type": "string", "description": "A part of the sender"},
            {"name": "subject", "type": "string", "description": "A part of the subject"},
            {"name": "text", "type": "string", "description": "Something that the mail says"},
            {"name": "since", "type": "string", "description": "Came on this day or later: 2026-03-28"},
            {"name": "before", "type": "string", "description": "Came before this day"},
            {"name": "unseen", "type": "boolean", "description": "Only what nobody has seen yet"},
            {"name": "limit", "type": "integer", "default": 20, "description": "50 at most"},
        ],
        outputs=[
            {
                "name": "messages",
                "type": "array",
                "required": True,
                "items": {
                    "type": "object",
                    "properties": [*HEADER, {"name": "seen", "type": "boolean", "required": True}],
                },
            },
            {"name": "more", "type": "boolean", "required": True, "description": "Whether others fit too"},
        ],
        effect="read",
    )
    async def list(self, input):
        found = await self.email.search(**input)
        messages = [
            {**headed(message_from_string(one["header"]), one["message"], one["size"]), "seen": one["seen"]}
            for one in found["messages"]
        ]
        return {"messages": messages, "more": found["more"]}

    @action(
        description="What a mail says, and what is attached to it; it stays unseen",
        inputs=[MESSAGE, FOLDER],
        outputs=[
            *HEADER,
            {"name": "text", "type": "string", "required": True},
            {"name": "html", "type": "string", "required": True, "description": "As a stranger wrote it"},
            {"name": "truncated", "type": "boolean", "required": True, "description": "Whether text or HTML go on"},
            {
                "name": "attachments",
                "type": "array",
                "required": True,
                "items": {
                    "type": "object",
                    "properties": [
                        {"name": "name", "type": "string", "required": True},
                        {"name": "type", "type": "string", "required": True},
                        {"name": "size", "type": "integer", "required": True},
                    ],
                },
            },
        ],
        effect="read",
    )
    async def read(self, input):
        content = await self.email.fetch(input["message"], folder=input["folder"])
        mail, texts, attached = taken_apart(content)
        said = {kind: "\n".join(texts[kind]) for kind in ("plain", "html")}
        return {
            **headed(mail, input["message"], len(content)),
            "text": said["plain"][:MOST_CHARACTERS],
            "html": said["html"][:MOST_CHARACTERS],
            "truncated": any(len(text) > MOST_CHARACTERS for text in said.values()),
            "attachments": [{"name": name, "type": kind, "size": len(data)} for name, kind, data in attached],
        }

    @action(
        description="Save what is attached to a mail as files",
        inputs=[MESSAGE, FOLDER],
        outputs=[{"name": "files", "type": "array", "required": True, "items": {"type": "file"}}],
        effect="write",
    )
    async def attachments(self, input):
        _, _, attached = taken_apart(await self.email.fetch(input["message"], folder=input["folder"]))
        return {"files": [await self.file.save(name, data, kind) for name, kind, data in attached]}


def taken_apart(content):
    """A mail with its texts by kind, and its attachments as (name, type, bytes)."""
    made = 0

    def part_of_it(*arguments, **more):
        nonlocal made
        made += 1
        if made > MOST_PARTS:
            raise NotReadable(f"the mail has more than {MOST_PARTS} parts")
        return Message(*arguments, **more)

    try:
        mail = message_from_bytes(content, policy=policy.compat32.clone(message_factory=part_of_it))
        texts, attached = {"plain": [], "html": []}, []
        for part in leaves(mail):
            kind, name = part.get_content_type(), decoded(part.get_filename() or "")
            if kind in ("text/plain", "text/html") and not name and part.get_content_disposition() != "attachment":
                texts[kind.removeprefix("text/")].append(text_of(part))
            elif part.is_multipart():
                attached.append((named(name, "mail.eml"), "application/octet-stream", part.get_payload(0).as_bytes()))
            else:
                attached.append((named(name, f"attachment-{len(attached) + 1}"), kind, part.get_payload(decode=True)))
    except RecursionError:
        raise NotReadable("the parts of the mail are too deep within each other") from None
    except (MessageError, LookupError, TypeError, ValueError) as error:
        raise NotReadable(f"the mail is made in no way that is known: {error}") from None
    return mail, texts, attached


def leaves(mail):
    """The parts that say something, in order; a mail within the mail is one of them."""
    ahead = [mail]
    while ahead:
        part = ahead.pop()
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            ahead += reversed(part.get_payload())
        else:
            yield part


def text_of(part):
    """The text of a part; what its encoding does not know is shown as such."""
    data = part.get_payload(decode=True) or b""
    try:
        encoding = codecs.lookup(part.get_content_charset() or "utf-8").name
        return data.decode("utf-8" if encoding in NOT_ENCODINGS else encoding, "replace")
    except (LookupError, ValueError):
        return data.decode("utf-8", "replace")


def headed(mail, message, size):
    names = {"from": "From", "to": "To", "cc": "Cc", "subject": "Subject", "message_id": "Message-ID"}
    said = {name: decoded(str(mail.get(header, ""))) for name, header in names.items()}
    try:
        date = parsedate_to_datetime(str(mail.get("Date", ""))[:100]).isoformat()
    except (ValueError, TypeError, OverflowError):
        date = ""
    return {"message": message, **said, "date": date, "size": size}


def decoded(header):
    """A header as a person reads it, in one line."""
    header = header[:MOST_HEADER]
    with suppress(LookupError, ValueError, MessageError):
        header = str(make_header(decode_header(header)))
    return " ".join(header.encode(errors="replace").decode().split())


def named(name, otherwise):
    """A name for a file, without a path; the sender chose it."""
    return UNSAFE.sub("_", name).strip(" .")[-120:] or otherwise


def filled(text, values, escape):
    """A text with its placeholders replaced, once: what a value holds is not looked at again."""
    return PLACEHOLDER.sub(lambda found: escape(spoken(looked_up(values, found[1]))), text)


def looked_up(values, path):
    found = values
    for part in path.split("."):
        if not isinstance(found, dict) or part not in found:
            raise ValueMissing(f"the text has {{{{{path}}}}}, and `values` has no {path}: add it, or take it out")
        found = found[part]
    return found


def spoken(value):
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)
