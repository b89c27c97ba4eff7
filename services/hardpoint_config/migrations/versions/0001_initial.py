"""Settings documents, secrets, their bindings, leases."""

from alembic import op

from hardpoint_kit.audit import audit_table
from hardpoint_kit.database import tenant_policy
from hardpoint_kit.idempotency import requests_table

revision = "0001"
down_revision = None

TABLES = """
-- json and not jsonb: a document is read as it was written, or its etag would change on the way.
CREATE TABLE settings (
    org text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    document json NOT NULL DEFAULT '{}',
    updated_at timestamptz,
    PRIMARY KEY (org, id)
);
CREATE TABLE secrets (
    org text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    description text NOT NULL,
    version integer NOT NULL,
    created_at timestamptz NOT NULL,
    rotated_at timestamptz,
    key_id text NOT NULL,
    wrapped_key bytea NOT NULL,
    ciphertext bytea NOT NULL,
    PRIMARY KEY (org, id)
);
CREATE TABLE bindings (
    org text COLLATE "C" NOT NULL,
    settings text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    secret text COLLATE "C" NOT NULL,
    PRIMARY KEY (org, settings, key),
    FOREIGN KEY (org, settings) REFERENCES settings (org, id),
    FOREIGN KEY (org, secret) REFERENCES secrets (org, id)
);
CREATE INDEX bindings_by_secret ON bindings (org, secret);
CREATE TABLE leases (
    hash bytea PRIMARY KEY,
    org text COLLATE "C" NOT NULL,
    settings text COLLATE "C" NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX leases_by_expiry ON leases (org, expires_at);
"""


def upgrade() -> None:
    """Create everything."""
    op.execute(TABLES)
    for table in ("settings", "secrets", "bindings", "leases"):
        op.execute(tenant_policy(table))
    op.execute(requests_table())
    op.execute(audit_table())
