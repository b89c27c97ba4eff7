"""The organisation's model: what it makes of a value, a conversation with it, and vectors of texts."""

from hardpoint_sdk import action, capability

MODEL = {"name": "model", "type": "string", "description": "Another model than the setting AI_MODEL"}


class NoObject(Exception):
    """The model's answer is no object."""


@capability(
    id="ai",
    name="AI",
    icon="🧠",
    version="1.0.0",
    author="Hardpoint",
    description="Ask the organisation's model, at any endpoint that speaks as OpenAI does",
    category="ai",
    tags=["llm", "embeddings"],
    permissions=["ai.call", "ai.embedding", "compute.heavy"],
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
