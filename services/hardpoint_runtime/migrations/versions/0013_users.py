"""Whose accounts runs use, where that is not who called."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add it; what is there from before is for nobody else, and triggers for nobody."""
    op.execute("ALTER TABLE runs ADD COLUMN on_behalf_of text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE triggers ADD COLUMN made_by text NOT NULL DEFAULT ''")
