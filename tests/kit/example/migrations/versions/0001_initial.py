"""The kit's own tables, and one of notes."""

from alembic import op

from hardpoint_kit.audit import audit_table
from hardpoint_kit.database import tenant_policy
from hardpoint_kit.idempotency import requests_table

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute(requests_table())
    op.execute(audit_table())
    op.execute("CREATE TABLE notes (org text NOT NULL, note text PRIMARY KEY)")
    op.execute(tenant_policy("notes"))
