"""Events of runs on their way to triggers, and the order in which events of one key run."""

from alembic import op

from hardpoint_kit.database import tenant_policy

revision = "0015"
down_revision = "0014"

CHANGES = """
    ALTER TABLE runs ADD COLUMN depth integer NOT NULL DEFAULT 0;
    ALTER TABLE triggers ADD COLUMN order_by text NOT NULL DEFAULT '';
    ALTER TABLE deliveries ADD COLUMN order_key text NOT NULL DEFAULT '';
    ALTER TABLE deliveries ADD COLUMN depth integer NOT NULL DEFAULT 0;
    -- Deliveries as they came, which their names tell to the millisecond alone. Those of before have no order, and no
    -- place: an identity column would rewrite them all while nothing can be delivered.
    ALTER TABLE deliveries ADD COLUMN place bigint;
    CREATE SEQUENCE deliveries_place OWNED BY deliveries.place;
    ALTER TABLE deliveries ALTER COLUMN place SET DEFAULT nextval('deliveries_place');
    ALTER TABLE deliveries ADD COLUMN settled_at timestamptz;
    CREATE INDEX deliveries_in_order ON deliveries (org, agent, trigger, order_key, place)
        WHERE order_key <> '' AND state IN ('ACCEPTED', 'RUNNING');
    CREATE INDEX deliveries_done_in_order ON deliveries (org, agent, trigger, order_key, settled_at)
        WHERE order_key <> '' AND state = 'DELIVERED';

    -- Written with what became of a run, taken away with the deliveries that it becomes.
    CREATE TABLE run_events (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        org text COLLATE "C" NOT NULL,
        event text NOT NULL,
        id text NOT NULL,
        depth integer NOT NULL,
        at timestamptz NOT NULL DEFAULT now(),
        run jsonb NOT NULL
    );
"""


def upgrade() -> None:
    """Create them."""
    op.execute(CHANGES)
    op.execute(tenant_policy("run_events"))
