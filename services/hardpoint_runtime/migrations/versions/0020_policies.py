"""What organisations decide for all code that runs for them."""

from alembic import op

from hardpoint_kit.database import tenant_policy

revision = "0020"
down_revision = "0019"

TABLE = """
    CREATE TABLE policies (
        org text COLLATE "C" PRIMARY KEY,
        single_use boolean NOT NULL DEFAULT false,
        shared_runs boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        revision bigint NOT NULL
    );
"""


def upgrade() -> None:
    """Create the table."""
    op.execute(TABLE)
    op.execute(tenant_policy("policies"))
