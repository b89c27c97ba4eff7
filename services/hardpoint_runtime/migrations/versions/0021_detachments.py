"""What was detached from an agent, so that its next call says so."""

from alembic import op

from hardpoint_kit.database import tenant_policy

revision = "0021"
down_revision = "0020"

TABLE = """
    -- The last time for each capability; also of one that is attached again.
    CREATE TABLE detachments (
        org text COLLATE "C" NOT NULL,
        agent text COLLATE "C" NOT NULL,
        capability text COLLATE "C" NOT NULL,
        detached_at timestamptz NOT NULL,
        PRIMARY KEY (org, agent, capability),
        FOREIGN KEY (org, agent) REFERENCES agents ON DELETE CASCADE
    );
"""


def upgrade() -> None:
    """Create the table."""
    op.execute(TABLE)
    op.execute(tenant_policy("detachments"))
