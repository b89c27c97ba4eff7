"""The organisation's model: what it makes of a value or a picture, a conversation with it, and vectors of texts."""

import base64

from hardpoint_sdk import action, capability

PICTURE_BYTES = 700_000
"""What one request to a model carries, written as base64 beside a prompt."""
PICTURES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif"}
MODEL = {"name": "model", "type": "string", "description": "Another model than the setting AI_MODEL"}


class NoObject(Exception):
    """The model's answer is no object."""


class NoPicture(Exception):
    """The file is none that a model looks at."""


class TooLarge(Exception):
    """The picture does not fit into one request."""


def picture_type(data):
    """The media type of a picture, by its first bytes: whoever stored it may have called it anything."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    for first, name in PICTURES.items():
        if data.startswith(first):
            return f"image/{name}"
    raise NoPicture("the file is no PNG, JPEG, GIF or WebP: convert it, or have ocr.extract read a document")


@capability(
    id="ai",
    name="AI",
    icon="🧠",
    version="1.1.0",
    author="Hardpoint",
    description="Ask the organisation's model, at any endpoint that speaks as OpenAI does",
    category="ai",
    tags=["llm", "embeddings", "vision"],
    permissions=["ai.call", "ai.embedding", "ai.vision", "file.read", "compute.heavy"],
)
class Ai:
    @action(
        description="Have the model look at a value, and give what it finds as an object",
        inputs=[
            {"name": "input", "type": "any", "required": True, "description": "What to look at: a text, or any data"},
            {"name": "prompt", "type": "string", "required": True, "description": "What to find in it"},
            {"name": "schema", "type": "object", "description": "The JSON Schema of the object that is wanted"},
            MODEL,
        ],
        effect="read",
    )
    async def analyze(self, input):
        answer = await self.ai.chat(
            prompt=input["prompt"],
            input=input["input"],
            schema=input.get("schema", {"type": "object"}),
            model=input.get("model"),
        )
        if not isinstance(answer.get("data"), dict):
            raise NoObject(
                f"the model gave no object: {answer.get('text', '')[:200]!r}: say in the prompt what to give"
            )
        return answer["data"]

    @action(
        description="Ask the model: by messages, or by a prompt about an input",
        inputs=[
            {"name": "messages", "type": "array", "description": "The conversation: objects with role and content"},
            {"name": "prompt", "type": "string", "description": "A question, in place of messages"},
            {"name": "input", "type": "any", "description": "What the prompt is about"},
            {
                "name": "schema",
                "type": "object",
                "description": "The JSON Schema of the answer, which is then in `data`",
            },
            {
                "name": "tools",
                "type": "array",
                "description": "What the model may want called: name, description, parameters",
            },
            MODEL,
        ],
        outputs=[
            {"name": "text", "type": "string", "required": True},
            {"name": "data", "type": "any"},
            {"name": "tool_calls", "type": "array"},
            {"name": "usage", "type": "object"},
        ],
        effect="read",
    )
    async def chat(self, input):
        return await self.ai.chat(**input)

    @action(
        description="Turn texts into vectors, which are close where the texts mean alike",
        inputs=[
            {"name": "input", "type": "any", "required": True, "description": "A text, or a list of texts"},
            {"name": "model", "type": "string", "description": "Another model than the setting AI_EMBEDDING_MODEL"},
        ],
        outputs=[{"name": "vectors", "type": "array", "required": True, "description": "One for each text"}],
        effect="read",
    )
    async def embed(self, input):
        texts = [input["input"]] if isinstance(input["input"], str) else input["input"]
        return {"vectors": await self.ai.embed(texts, model=input.get("model"))}

    @action(
        description="Have the model look at a picture",
        inputs=[
            {
                "name": "input",
                "type": "file",
                "required": True,
                "description": f"A PNG, JPEG, GIF or WebP of at most {PICTURE_BYTES} bytes",
            },
            {"name": "prompt", "type": "string", "required": True, "description": "What to say of it"},
            {
                "name": "schema",
                "type": "object",
                "description": "The JSON Schema of the answer, which is then in `data`",
            },
            MODEL,
        ],
        outputs=[
            {"name": "text", "type": "string", "required": True},
            {"name": "data", "type": "any"},
            {"name": "usage", "type": "object"},
        ],
        effect="read",
    )
    async def vision(self, input):
        data = await self.file.open(input["input"], length=PICTURE_BYTES + 1)
        kind = picture_type(data)
        if len(data) > PICTURE_BYTES:
            raise TooLarge(f"the picture has more than {PICTURE_BYTES} bytes: make it smaller, or cut out what matters")
        url = f"data:{kind};base64,{base64.b64encode(data).decode()}"
        content = [{"type": "text", "text": input["prompt"]}, {"type": "image_url", "image_url": {"url": url}}]
        return await self.ai.chat(
            messages=[{"role": "user", "content": content}], schema=input.get("schema"), model=input.get("model")
        )
