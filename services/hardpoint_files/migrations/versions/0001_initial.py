"""Files, their bytes once for each org, what an org keeps in all, and the key of tickets."""

from alembic import op

from hardpoint_kit.audit import audit_table, events_by_age
from hardpoint_kit.database import tenant_policy
from hardpoint_kit.idempotency import requests_by_age, requests_table

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE contents (
    org text COLLATE "C" NOT NULL,
    digest text COLLATE "C" NOT NULL,
    PRIMARY KEY (org, digest)
);
CREATE TABLE parts (
    org text COLLATE "C" NOT NULL,
    digest text COLLATE "C" NOT NULL,
    number integer NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (org, digest, number),
    FOREIGN KEY (org, digest) REFERENCES contents (org, digest) ON DELETE CASCADE
);
-- Files are mostly compressed already.
ALTER TABLE parts ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE TABLE files (
    org text COLLATE "C" NOT NULL,
    file text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    type text NOT NULL,
    digest text COLLATE "C" NOT NULL,
    size_bytes bigint NOT NULL,
    creator text NOT NULL,
    run text NOT NULL,
    execution text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    -- Who reads only below the oldest transaction that still runs misses none that commits later.
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    sequence bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (org, file),
    FOREIGN KEY (org, digest) REFERENCES contents (org, digest)
);
CREATE INDEX files_by_age ON files (org, created_at, file);
CREATE INDEX files_by_run ON files (org, run, created_at, file) WHERE run <> '';
CREATE INDEX files_by_execution ON files (org, execution) WHERE execution <> '';
CREATE INDEX files_by_digest ON files (org, digest);
CREATE INDEX files_by_expiry ON files (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX uploads ON files (transaction, sequence) WHERE run = '';

CREATE TABLE kept (
    org text COLLATE "C" PRIMARY KEY,
    files bigint NOT NULL CHECK (files >= 0),
    size_bytes bigint NOT NULL CHECK (size_bytes >= 0)
);

CREATE TABLE ticket_keys (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    key bytea NOT NULL
);
ALTER TABLE ticket_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE ticket_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY own_work ON ticket_keys USING (current_setting('hardpoint.org', true) = '*');
"""


def upgrade() -> None:
    """Create everything."""
    op.execute(TABLES)
    for table in ("contents", "parts", "files", "kept"):
        op.execute(tenant_policy(table))
    op.execute(requests_table())
    op.execute(requests_by_age())
    op.execute(audit_table())
    op.execute(events_by_age())
