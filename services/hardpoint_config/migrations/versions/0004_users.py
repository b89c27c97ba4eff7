"""Accounts of single people at a provider, and tokens that are still to be given back."""

from alembic import op

from hardpoint_kit.database import tenant_policy

revision = "0004"
down_revision = "0003"

TABLES = """
ALTER TABLE connections ADD COLUMN per_user boolean NOT NULL DEFAULT false;
ALTER TABLE connections ADD COLUMN redirect_uri text NOT NULL DEFAULT '';
-- Whose token a lease opens.
ALTER TABLE leases ADD COLUMN owner text NOT NULL DEFAULT '';
-- Provider and client are the connection's. A table of its own: whoever knows only the other one reads nobody's tokens.
CREATE TABLE user_connections (
    org text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    state text NOT NULL,
    version integer NOT NULL,
    renewable boolean NOT NULL,
    scopes text[] NOT NULL,
    expires_at timestamptz,
    connected_at timestamptz,
    renewing_until timestamptz,
    key_id text,
    wrapped_key bytea,
    ciphertext bytea,
    PRIMARY KEY (org, id, owner),
    FOREIGN KEY (org, id) REFERENCES connections (org, id) ON DELETE CASCADE
);
CREATE INDEX user_connections_by_owner ON user_connections (org, owner, id);
-- As they were sealed, with the client that they were given to. Nothing refers to it: it outlives the connection.
CREATE TABLE revocations (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    owner text NOT NULL,
    provider json NOT NULL,
    version integer NOT NULL,
    key_id text NOT NULL,
    wrapped_key bytea NOT NULL,
    ciphertext bytea NOT NULL,
    client_id text NOT NULL,
    client_version integer NOT NULL,
    client_key_id text NOT NULL,
    client_wrapped_key bytea NOT NULL,
    client_ciphertext bytea NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT '-infinity'
);
CREATE INDEX revocations_due ON revocations (due_at);
"""


def upgrade() -> None:
    """Create them."""
    op.execute(TABLES)
    for table in ("user_connections", "revocations"):
        op.execute(tenant_policy(table))
