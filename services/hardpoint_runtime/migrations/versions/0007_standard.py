"""Which standard capabilities an org was given, so that a deleted one stays deleted."""

from alembic import op

from hardpoint_kit.database import tenant_policy

revision = "0007"
down_revision = "0006"

TABLE = """
    CREATE TABLE standard_capabilities (
        org text COLLATE "C" NOT NULL,
        capability text COLLATE "C" NOT NULL,
        -- The release that its installation was last pinned to; there may be none any more.
        version text COLLATE "C" NOT NULL,
        PRIMARY KEY (org, capability)
    );
"""


def upgrade() -> None:
    """Create the table with its policy."""
    op.execute(TABLE)
    op.execute(tenant_policy("standard_capabilities"))
