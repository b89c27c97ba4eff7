"""Triggers, and what came to them."""

from alembic import op

from hardpoint_kit.database import tenant_policy

revision = "0009"
down_revision = "0008"

TABLES = """
    CREATE TABLE triggers (
        org text COLLATE "C" NOT NULL,
        agent text COLLATE "C" NOT NULL,
        trigger text COLLATE "C" NOT NULL,
        display_name text NOT NULL,
        type text NOT NULL CHECK (type IN ('WEBHOOK', 'SCHEDULE', 'EVENT')),
        state text NOT NULL CHECK (state IN ('ACTIVE', 'PAUSED')),
        action text NOT NULL,
        -- A template; json, since jsonb would change its text.
        input json NOT NULL,
        filter text NOT NULL,
        declared text NOT NULL,
        verifier jsonb NOT NULL,
        allow_unsigned boolean NOT NULL,
        token text NOT NULL,
        -- What a webhook is found by: a look-up by hash tells nothing by the time it takes.
        token_hash bytea UNIQUE,
        schedule text NOT NULL,
        time_zone text NOT NULL,
        next_at timestamptz,
        event text NOT NULL,
        installation text NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        revision bigint NOT NULL,
        PRIMARY KEY (org, agent, trigger),
        FOREIGN KEY (org, agent) REFERENCES agents ON DELETE CASCADE
    );
    CREATE INDEX triggers_by_event ON triggers (org, event) WHERE type = 'EVENT';
    CREATE INDEX triggers_by_time ON triggers (next_at) WHERE state = 'ACTIVE' AND next_at IS NOT NULL;

    -- The inbox: a delivery is written before its sender hears that it was taken.
    CREATE TABLE deliveries (
        org text COLLATE "C" NOT NULL,
        agent text COLLATE "C" NOT NULL,
        trigger text COLLATE "C" NOT NULL,
        delivery text COLLATE "C" NOT NULL,
        state text NOT NULL,
        reason text NOT NULL,
        message text NOT NULL,
        provider_id text NOT NULL,
        body bytea NOT NULL,
        size integer NOT NULL,
        headers jsonb NOT NULL,
        original text NOT NULL,
        release text NOT NULL,
        run text NOT NULL,
        attempts integer NOT NULL,
        received_at timestamptz NOT NULL,
        due_at timestamptz NOT NULL,
        -- Which process runs it, and until when it is believed to live.
        owner text NOT NULL DEFAULT '',
        claimed_until timestamptz,
        PRIMARY KEY (org, agent, trigger, delivery),
        FOREIGN KEY (org, agent, trigger) REFERENCES triggers ON DELETE CASCADE
    );
    -- What a sender sends again is known by its name for it; a replay is meant to be the same again.
    CREATE UNIQUE INDEX deliveries_once ON deliveries (org, agent, trigger, provider_id)
        WHERE provider_id <> '' AND original = '';
    CREATE INDEX deliveries_due ON deliveries (due_at) WHERE state = 'ACCEPTED';
    CREATE INDEX deliveries_running ON deliveries (claimed_until) WHERE state = 'RUNNING';
    CREATE INDEX deliveries_waiting ON deliveries (org) WHERE state IN ('ACCEPTED', 'RUNNING');
    CREATE INDEX deliveries_by_age ON deliveries (received_at);

    -- Up to where uploads were heard of, in one row: no org's.
    CREATE TABLE uploads_heard (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        cursor text NOT NULL
    );
"""


def upgrade() -> None:
    """Create them."""
    op.execute(TABLES)
    for table in ("triggers", "deliveries"):
        op.execute(tenant_policy(table))
