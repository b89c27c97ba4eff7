"""The run that began a tree of runs, by steps and by events, on its way from one to the next."""

from alembic import op

revision = "0019"
down_revision = "0018"

COLUMNS = """
    ALTER TABLE runs ADD COLUMN root text COLLATE "C" NOT NULL DEFAULT '';
    UPDATE runs r SET root = w.descent ->> 'root'
        FROM workflows w WHERE w.org = r.org AND w.run = r.run AND w.descent ->> 'root' <> '';
    ALTER TABLE run_events ADD COLUMN root text COLLATE "C" NOT NULL DEFAULT '';
    ALTER TABLE deliveries ADD COLUMN root text COLLATE "C" NOT NULL DEFAULT '';
    CREATE INDEX deliveries_by_root ON deliveries (org, root) WHERE root <> '';
"""


def upgrade() -> None:
    """Add the columns."""
    op.execute(COLUMNS)
