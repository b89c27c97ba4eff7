"""The organisation's mail: one message, its texts perhaps with placeholders."""

import html
import json
import re

from hardpoint_sdk import action, capability

PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][\w.-]*)\s*\}\}")


class ValueMissing(Exception):
    """A placeholder stands for nothing."""


@capability(
    id="email",
    name="Email",
    icon="✉️",
    version="1.0.0",
    author="Hardpoint",
    description="Send mail by the organisation's mail server",
    category="communication",
    tags=["mail", "smtp"],
    permissions=["integration.email", "file.read", "compute.moderate"],
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
