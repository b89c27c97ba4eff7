"""Runs that steps of other runs began."""

from alembic import op

revision = "0018"
down_revision = "0017"

COLUMNS = """
    -- {"above": [{"installation": .., "release": .., "asks": ..}, ..], "parent": "..", "root": ".."}
    ALTER TABLE workflows ADD COLUMN descent jsonb;
    CREATE INDEX workflows_by_root ON workflows (org, (descent ->> 'root')) WHERE descent IS NOT NULL;
    -- The run that it began and waits for.
    ALTER TABLE steps ADD COLUMN child text COLLATE "C" NOT NULL DEFAULT '';
    CREATE INDEX steps_that_wait_for_runs ON steps (org, run) WHERE waits = 'RUN';
"""


def upgrade() -> None:
    """Add the columns."""
    op.execute(COLUMNS)
