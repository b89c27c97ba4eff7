"""What calls would write: plans of dry runs, and which runs were dry or held to a plan."""

from alembic import op

from hardpoint_kit.database import tenant_policy

revision = "0011"
down_revision = "0010"

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
"""


def upgrade() -> None:
    """Create the table and the columns."""
    op.execute(TABLES)
    op.execute(tenant_policy("effect_plans"))
