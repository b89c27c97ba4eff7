"""Of which runs somebody was given a recording."""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE runs ADD COLUMN recorded boolean NOT NULL DEFAULT false")
