"""The organisation's stored files: what was handed to the call, and what it saves."""

import base64

from hardpoint_sdk import action, capability

BYTES = 600_000
"""What one answer carries, also when it is written as base64."""
ENCODING = {
    "name": "encoding",
    "type": "string",
    "enum": ["utf-8", "base64"],
    "default": "utf-8",
    "description": "How the bytes are written as text",
}

SAVED = [
    {"name": "name", "type": "string", "required": True},
    {"name": "data", "type": "string", "required": True},
    ENCODING,
    {"name": "type", "type": "string", "description": "Its media type, such as text/csv"},
]


class NotText(Exception):
    """The bytes are no text, or none of that encoding."""


@capability(
    id="files",
    name="Files",
    icon="🗂️",
    version="1.1.0",
    author="Hardpoint",
    description="Save files, also for a while only, and read those that are handed over",
    category="data",
    tags=["storage"],
    permissions=["file.read", "file.write", "compute.moderate"],
)
class Files:
    @action(
        description="Save a text or bytes as a file",
        inputs=SAVED,
        outputs=[{"name": "file", "type": "file", "required": True, "description": "The handle of what was saved"}],
        effect="write",
    )
    async def save(self, input):
        return {"file": await self._saved(input)}

    @action(
        description="Save a text or bytes as a file that goes away by itself: for what is needed only for a while",
        inputs=[
            *SAVED,
            {
                "name": "expires_in",
                "type": "integer",
                "default": 3600,
                "description": "Seconds until it is gone, at most 2592000, which are 30 days",
            },
        ],
        outputs=[
            {"name": "file", "type": "file", "required": True, "description": "The handle, which says when it is gone"}
        ],
        effect="write",
    )
    async def temporary(self, input):
        return {"file": await self._saved(input, expires_in=input.get("expires_in", 3600))}

    @action(
        description="Read a file, or a part of it",
        inputs=[
            {"name": "input", "type": "file", "required": True},
            ENCODING,
            {"name": "offset", "type": "integer", "default": 0, "description": "The byte to begin with"},
            {"name": "length", "type": "integer", "default": BYTES, "description": f"Bytes to read, at most {BYTES}"},
        ],
        outputs=[
            {"name": "data", "type": "string", "required": True},
            {"name": "bytes", "type": "integer", "required": True, "description": "How many bytes of the file that is"},
        ],
        effect="read",
    )
    async def read(self, input):
        length = min(input.get("length", BYTES), BYTES)
        content = await self.file.open(input["input"], offset=input.get("offset", 0), length=length)
        if input.get("encoding") == "base64":
            return {"data": base64.b64encode(content).decode(), "bytes": len(content)}
        try:
            return {"data": content.decode(), "bytes": len(content)}
        except UnicodeDecodeError:
            raise NotText("the bytes are no text in UTF-8: read them with encoding base64") from None

    @action(
        description="List the files that this call may read",
        outputs=[{"name": "files", "type": "array", "required": True, "items": {"type": "file"}}],
        effect="read",
    )
    async def list(self, _input):
        return {"files": await self.file.list(stored=True)}

    async def _saved(self, input, **more):
        data = input["data"].encode()
        if input.get("encoding") == "base64":
            try:
                data = base64.b64decode(data, validate=True)
            except ValueError as error:
                raise NotText(f"data is not base64: {error}") from None
        return await self.file.save(input["name"], data, input.get("type"), **more)
