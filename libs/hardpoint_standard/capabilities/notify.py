"""Word to whoever looks after the organisation's agents."""

import json

from hardpoint_sdk import action, capability


class NobodyToTell(Exception):
    """The setting ADMIN_EMAIL has no value."""


@capability(
    id="notify",
    name="Notify",
    icon="🔔",
    version="1.0.0",
    author="Hardpoint",
    description="Mail the administrator that something happened, or went wrong",
    category="communication",
    tags=["mail", "alert"],
    config=[
        {
            "key": "ADMIN_EMAIL",
            "label": "The administrator's address",
            "type": "string",
            "description": "Who is told",
        }
    ],
    permissions=["integration.email", "compute.moderate"],
)
class Notify:
    @action(
        description="Mail the address of the setting ADMIN_EMAIL",
        inputs=[
            {"name": "subject", "type": "string"},
            {"name": "message", "type": "string"},
            {"name": "error", "type": "any", "description": "What went wrong: a text, or an object with its facts"},
        ],
        outputs=[{"name": "message_id", "type": "string", "required": True}],
        effect="write",
    )
    async def admin(self, input):
        if not self.config.get("ADMIN_EMAIL"):
            raise NobodyToTell("it is not known whom to tell: set ADMIN_EMAIL of the installation notify")
        failed = "error" in input
        parts = [input.get("message", "Something went wrong." if failed else "Something happened.")]
        if failed:
            parts.append(told(input["error"]))
        context = await self.context.get()
        parts.append("\n".join(f"{name}: {context[name]}" for name in ("org", "agent", "run") if context.get(name)))
        return await self.email.send(
            to=self.config["ADMIN_EMAIL"],
            subject=input.get("subject", "Hardpoint: an error" if failed else "Hardpoint: a notice"),
            body="\n\n".join(part for part in parts if part),
        )


def told(error):
    """An error as lines that a person reads."""
    if isinstance(error, dict):
        return "\n".join(f"{name}: {told(value)}" for name, value in error.items())
    return error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)
