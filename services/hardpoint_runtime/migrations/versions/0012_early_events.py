"""Events that came before a step of their run waits for them."""

from alembic import op

from hardpoint_kit.database import tenant_policy

revision = "0012"
down_revision = "0011"

TABLES = """
    CREATE TABLE early_events (
        org text COLLATE "C" NOT NULL,
        run text COLLATE "C" NOT NULL,
        -- In the order in which they came.
        number bigint GENERATED ALWAYS AS IDENTITY,
        event text NOT NULL,
        subject text NOT NULL,
        -- json, since jsonb would change its text.
        payload json NOT NULL,
        sent_at timestamptz NOT NULL,
        PRIMARY KEY (org, run, number),
        FOREIGN KEY (org, run) REFERENCES workflows ON DELETE CASCADE
    );
    CREATE INDEX early_events_by_age ON early_events (sent_at);
"""


def upgrade() -> None:
    """Create the table."""
    op.execute(TABLES)
    op.execute(tenant_policy("early_events"))
