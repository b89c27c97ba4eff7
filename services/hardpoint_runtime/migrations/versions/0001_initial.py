"""Agents, installations, attachments, the record of runs, counters, and what the marketplace has yet to be told."""

from alembic import op

from hardpoint_kit.audit import audit_table
from hardpoint_kit.database import tenant_policy
from hardpoint_kit.idempotency import requests_table

revision = "0001"
down_revision = None

TABLES = """
    CREATE TABLE agents (
        org text COLLATE "C" NOT NULL,
        agent text COLLATE "C" NOT NULL,
        display_name text NOT NULL,
        description text NOT NULL,
        state text NOT NULL CHECK (state IN ('ACTIVE', 'PAUSED')),
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        revision bigint NOT NULL,
        PRIMARY KEY (org, agent)
    );

    CREATE TABLE installations (
        org text COLLATE "C" NOT NULL,
        installation text COLLATE "C" NOT NULL,
        uid text COLLATE "C" NOT NULL UNIQUE,
        version_constraint text NOT NULL,
        -- The pinned release with its actions, so that no call asks the registry.
        release jsonb NOT NULL,
        permissions text[] NOT NULL,
        hosts text[] NOT NULL,
        state text NOT NULL CHECK (state IN ('ACTIVE', 'DISABLED')),
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        revision bigint NOT NULL,
        PRIMARY KEY (org, installation)
    );

    CREATE TABLE attachments (
        org text COLLATE "C" NOT NULL,
        agent text COLLATE "C" NOT NULL,
        installation text COLLATE "C" NOT NULL,
        uid text COLLATE "C" NOT NULL UNIQUE,
        enabled boolean NOT NULL,
        priority integer NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        revision bigint NOT NULL,
        PRIMARY KEY (org, agent, installation),
        FOREIGN KEY (org, agent) REFERENCES agents ON DELETE CASCADE,
        FOREIGN KEY (org, installation) REFERENCES installations
    );
    CREATE INDEX attachments_by_installation ON attachments (org, installation);

    -- Written when it has ended and never changed. A run's id begins with the time of its start. Agents and releases
    -- are texts: the record outlives them.
    CREATE TABLE runs (
        org text COLLATE "C" NOT NULL,
        run text COLLATE "C" NOT NULL,
        agent text COLLATE "C" NOT NULL,
        action text NOT NULL,
        release text NOT NULL,
        state text NOT NULL,
        reason text NOT NULL,
        message text NOT NULL,
        place text NOT NULL,
        fix text NOT NULL,
        started_at timestamptz NOT NULL,
        duration_us bigint NOT NULL,
        usage jsonb NOT NULL,
        trace_id text NOT NULL,
        subject text NOT NULL,
        PRIMARY KEY (org, run)
    );
    CREATE INDEX runs_by_agent ON runs (org, agent, run);
    CREATE INDEX runs_by_state ON runs (org, state, run);

    CREATE TABLE steps (
        org text COLLATE "C" NOT NULL,
        run text COLLATE "C" NOT NULL,
        step text COLLATE "C" NOT NULL,
        action text NOT NULL,
        release text NOT NULL,
        state text NOT NULL,
        reason text NOT NULL,
        message text NOT NULL,
        started_at timestamptz NOT NULL,
        duration_us bigint NOT NULL,
        usage jsonb NOT NULL,
        PRIMARY KEY (org, run, step)
    );

    -- One row for each process that writes, so that no two processes ever wait for the same row; readers sum.
    CREATE TABLE usage_counters (
        org text COLLATE "C" NOT NULL,
        attachment text COLLATE "C" NOT NULL,
        installation text COLLATE "C" NOT NULL,
        writer text COLLATE "C" NOT NULL,
        executions bigint NOT NULL,
        errors bigint NOT NULL,
        usages bigint NOT NULL,
        total_us bigint NOT NULL,
        last_used timestamptz NOT NULL,
        PRIMARY KEY (attachment, writer)
    );
    CREATE INDEX usage_counters_by_installation ON usage_counters (installation);

    CREATE TABLE announcements (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        org text COLLATE "C" NOT NULL,
        installation text COLLATE "C" NOT NULL,
        capability text NOT NULL
    );
"""
TENANT_TABLES = ("agents", "installations", "attachments", "runs", "steps", "usage_counters", "announcements")


def upgrade() -> None:
    """Create the tables."""
    op.execute(TABLES)
    for table in TENANT_TABLES:
        op.execute(tenant_policy(table))
    op.execute(requests_table())
    op.execute(audit_table())
