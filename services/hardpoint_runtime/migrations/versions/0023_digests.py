"""What is signed of a delivery, by which it is known when it comes again without a name that tells."""

from alembic import op

revision = "0023"
down_revision = "0022"

CHANGE = """
    ALTER TABLE deliveries ADD COLUMN digest text NOT NULL DEFAULT '';
    CREATE INDEX deliveries_alike ON deliveries (org, agent, trigger, digest, received_at)
        WHERE digest <> '' AND original = '';
"""


def upgrade() -> None:
    """Add it."""
    op.execute(CHANGE)
