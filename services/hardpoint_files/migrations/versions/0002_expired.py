"""What is remembered of files that expired: that they did, for whoever still has a handle."""

from alembic import op

from hardpoint_kit.database import tenant_policy

revision = "0002"
down_revision = "0001"

TABLES = """
CREATE TABLE expired (
    org text COLLATE "C" NOT NULL,
    file text COLLATE "C" NOT NULL,
    execution text NOT NULL,
    expired_at timestamptz NOT NULL,
    PRIMARY KEY (org, file)
);
CREATE INDEX expired_by_age ON expired (expired_at);
"""


def upgrade() -> None:
    """Create them."""
    op.execute(TABLES)
    op.execute(tenant_policy("expired"))
