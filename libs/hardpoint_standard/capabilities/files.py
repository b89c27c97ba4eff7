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


class NotText(Exception):
    """The bytes are no text, or none of that encoding."""


@capability(
    id="files",
    name="Files",
    icon="🗂️",
    version="1.0.0",
    author="Hardpoint",
    description="Save files and read those that are handed over",
    category="data",
    tags=["storage"],
    permissions=["file.read", "file.write", "compute.moderate"],
)
class Files:
    @action(
        description="Save a text or bytes as a file",
        inputs=[
            {"name": "name", "type": "string", "required": True},
            {"name": "data", "type": "string", "required": True},
            ENCODING,
            {"name": "type", "type": "string", "description": "Its media type, such as text/csv"},
        ],
        outputs=[{"name": "file", "type": "file", "required": True, "description": "The handle of what was saved"}],
        effect="write",
    )
    async def save(self, input):
        data = input["data"].encode()
        if input.get("encoding") == "base64":
            try:
                data = base64.b64decode(data, validate=True)
            except ValueError as error:
                raise NotText(f"data is not base64: {error}") from None
        more = {"type": input["type"]} if "type" in input else {}
        return {"file": await self.file.save(input["name"], data, **more)}

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
