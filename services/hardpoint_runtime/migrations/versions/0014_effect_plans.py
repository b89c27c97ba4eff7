"""What calls would write, which runs were dry or held to a plan of that, and who counts as having started a run."""

from alembic import op

from hardpoint_kit.database import tenant_policy

revision = "0014"
down_revision = "0013"

TABLES = """
    CREATE TABLE effect_plans (
        org text COLLATE "C" NOT NULL,
        digest text COLLATE "C" NOT NULL,
        -- json, since jsonb knows no NUL, which a body may have.
        plan json NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (org, digest)
    );
    CREATE INDEX effect_plans_by_age ON effect_plans (created_at);
    ALTER TABLE runs ADD COLUMN dry_run boolean NOT NULL DEFAULT false, ADD COLUMN plan text NOT NULL DEFAULT '';
    -- The plan that a step is held to.
    ALTER TABLE steps ADD COLUMN plan text NOT NULL DEFAULT '';
    ALTER TABLE workflows ADD COLUMN starters text[] NOT NULL DEFAULT '{}';
    -- Who made a trigger and who changed it; who had a delivery run again.
    ALTER TABLE triggers ADD COLUMN authors text[] NOT NULL DEFAULT '{}';
    ALTER TABLE deliveries ADD COLUMN replayed_by text NOT NULL DEFAULT '';
"""


def upgrade() -> None:
    """Create the table and the columns."""
    op.execute(TABLES)
    op.execute(tenant_policy("effect_plans"))
