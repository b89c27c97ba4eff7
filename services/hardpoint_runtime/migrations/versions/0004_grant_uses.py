"""Which grants of an installation executions used."""

from alembic import op

from hardpoint_kit.database import tenant_policy

revision = "0004"
down_revision = "0003"

TABLES = """
    -- One row for each process that writes, as of usage_counters: no two processes wait for the same row.
    CREATE TABLE grant_uses (
        org text COLLATE "C" NOT NULL,
        installation text COLLATE "C" NOT NULL,
        granted text COLLATE "C" NOT NULL,
        writer text COLLATE "C" NOT NULL,
        executions bigint NOT NULL,
        last_used timestamptz NOT NULL,
        PRIMARY KEY (installation, granted, writer)
    );

    -- Of those that are there, since when their uses are seen.
    ALTER TABLE installations ADD COLUMN granted_at timestamptz NOT NULL DEFAULT now();
"""


def upgrade() -> None:
    """Create them."""
    op.execute(TABLES)
    op.execute(tenant_policy("grant_uses"))
