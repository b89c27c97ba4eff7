"""The organisation's database: rows in, rows out."""

from hardpoint_sdk import action, capability

TABLE = {"name": "table", "type": "string", "required": True}
WHERE = {
    "name": "where",
    "type": "object",
    "required": True,
    "description": "Which rows: those whose columns equal these values, all of them; null is no value",
}


@capability(
    id="database",
    name="Database",
    icon="🗄️",
    version="1.1.0",
    author="Hardpoint",
    description="Query the organisation's PostgreSQL, insert, update and delete; only tables that its settings name",
    category="data",
    tags=["sql", "postgresql"],
    permissions=["data.read", "data.write", "data.delete", "compute.moderate"],
)
class Database:
    @action(
        description="Insert one row or several, all or none; the same again with one idempotency key does nothing",
        inputs=[
            TABLE,
            {
                "name": "data",
                "type": "any",
                "required": True,
                "description": "A row as an object by column name, or a list of rows",
            },
        ],
        outputs=[{"name": "rows", "type": "integer", "required": True, "description": "How many were inserted"}],
        effect="write",
        idempotent=True,
    )
    async def insert(self, input):
        return await self.db.insert(input["table"], input["data"])

    @action(
        description="Change the rows that fit, all or none and at most 1000; once for one idempotency key",
        inputs=[
            TABLE,
            {"name": "data", "type": "object", "required": True, "description": "New values by column name"},
            WHERE,
        ],
        outputs=[{"name": "rows", "type": "integer", "required": True, "description": "How many were changed"}],
        effect="write",
        idempotent=True,
    )
    async def update(self, input):
        return await self.db.update(input["table"], input["data"], input["where"])

    @action(
        description="Delete the rows that fit, all or none and at most 1000; once for one idempotency key",
        inputs=[TABLE, WHERE],
        outputs=[{"name": "rows", "type": "integer", "required": True, "description": "How many were deleted"}],
        effect="write",
        idempotent=True,
    )
    async def delete(self, input):
        return await self.db.delete(input["table"], input["where"])

    @action(
        description="Read rows by one SELECT",
        inputs=[
            {
                "name": "sql",
                "type": "string",
                "required": True,
                "description": "One SELECT, with $1, $2 ... for values",
            },
            {"name": "params", "type": "array", "description": "The values, in order"},
        ],
        outputs=[
            {"name": "rows", "type": "array", "required": True, "items": {"type": "object"}},
        ],
        effect="read",
    )
    async def query(self, input):
        return {"rows": await self.db.query(input["sql"], input.get("params", []))}
