"""What the agent knew when it began a run of a workflow; it is kept and forgotten with the run's inputs."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE workflows ADD COLUMN context json NOT NULL DEFAULT '{}'")
