"""Installations whose actions are called by their own name."""

from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Create the column; what was installed before goes on to be called as its capability."""
    op.execute("ALTER TABLE installations ADD COLUMN own_name boolean NOT NULL DEFAULT false")
