"""What a run that did not succeed was refused, by name."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add it; runs from before have none."""
    op.execute("ALTER TABLE runs ADD COLUMN facts jsonb NOT NULL DEFAULT '{}'")
