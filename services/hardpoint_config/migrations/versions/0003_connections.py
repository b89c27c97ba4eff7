"""Connections to providers, and the sign-ins that are under way."""

from alembic import op

from hardpoint_kit.database import tenant_policy

revision = "0003"
down_revision = "0002"

TABLES = """
-- Client secret and tokens are sealed together; a connection that nobody signed in to yet has none.
CREATE TABLE connections (
    org text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    provider json NOT NULL,
    state text NOT NULL,
    version integer NOT NULL,
    client_id text NOT NULL,
    has_client_secret boolean NOT NULL,
    renewable boolean NOT NULL,
    scopes text[] NOT NULL,
    expires_at timestamptz,
    connected_at timestamptz,
    subject text NOT NULL,
    renewing_until timestamptz,
    key_id text,
    wrapped_key bytea,
    ciphertext bytea,
    PRIMARY KEY (org, id)
);
CREATE TABLE sign_ins (
    hash bytea PRIMARY KEY,
    org text COLLATE "C" NOT NULL,
    connection text COLLATE "C" NOT NULL,
    subject text NOT NULL,
    redirect_uri text NOT NULL,
    client_id text NOT NULL,
    expires_at timestamptz NOT NULL,
    key_id text NOT NULL,
    wrapped_key bytea NOT NULL,
    ciphertext bytea NOT NULL,
    FOREIGN KEY (org, connection) REFERENCES connections (org, id) ON DELETE CASCADE
);
CREATE INDEX sign_ins_by_connection ON sign_ins (org, connection);
"""


def upgrade() -> None:
    """Create them."""
    op.execute(TABLES)
    for table in ("connections", "sign_ins"):
        op.execute(tenant_policy(table))
