"""What ran inside of a run: steps of a flow, and calls of other capabilities. Most runs have none."""

from alembic import op

from hardpoint_kit.database import tenant_policy

revision = "0006"
down_revision = "0005"

TABLES = """
    CREATE TABLE inner_steps (
        org text COLLATE "C" NOT NULL,
        run text COLLATE "C" NOT NULL,
        -- In the order in which they began, from 1.
        position integer NOT NULL,
        path text NOT NULL,
        action text NOT NULL,
        release text NOT NULL,
        state text NOT NULL,
        reason text NOT NULL,
        message text NOT NULL,
        started_at timestamptz NOT NULL,
        duration_us bigint NOT NULL,
        usage jsonb NOT NULL,
        PRIMARY KEY (org, run, position)
    );
"""


def upgrade() -> None:
    """Create the table."""
    op.execute(TABLES)
    op.execute(tenant_policy("inner_steps"))
