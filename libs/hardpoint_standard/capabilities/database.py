"""The organisation's database: rows in, rows out."""

from hardpoint_sdk import action, capability


@capability(
    id="database",
    name="Database",
    icon="🗄️",
    version="1.0.0",
    author="Hardpoint",
    description="Insert into and query the organisation's PostgreSQL; only tables that its settings name",
    category="data",
    tags=["sql", "postgresql"],
    permissions=["data.read", "data.write", "compute.moderate"],
)
class Database:
    @action(
        description="Insert one row or several, all or none; the same again with one idempotency key does nothing",
        inputs=[
            {"name": "table", "type": "string", "required": True},
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
