"""What the code of runs logged. Most runs log nothing."""

from alembic import op

from hardpoint_kit.database import tenant_policy

revision = "0017"
down_revision = "0016"

TABLE = """
    CREATE TABLE run_logs (
        org text COLLATE "C" NOT NULL,
        run text COLLATE "C" NOT NULL,
        -- Of a workflow; empty for the only one.
        step text COLLATE "C" NOT NULL,
        -- Of its attempts, from 1.
        attempt integer NOT NULL,
        -- [{"level": "info", "message": "..."}, ...]
        lines jsonb NOT NULL,
        logged_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (org, run, step, attempt)
    );
    CREATE INDEX run_logs_by_age ON run_logs (logged_at);
"""


def upgrade() -> None:
    """Create the table."""
    op.execute(TABLE)
    op.execute(tenant_policy("run_logs"))
