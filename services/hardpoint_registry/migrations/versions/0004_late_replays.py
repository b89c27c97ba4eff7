"""How often the examples of a release were replayed and did not end in time."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE releases ADD COLUMN late_replays smallint NOT NULL DEFAULT 0")
