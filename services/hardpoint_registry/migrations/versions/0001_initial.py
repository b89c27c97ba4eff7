"""Capabilities, releases, artifacts, and the key of their tickets."""

from alembic import op

from hardpoint_kit.audit import audit_table
from hardpoint_kit.database import tenant_policy
from hardpoint_kit.idempotency import requests_table

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE capabilities (
    org text COLLATE "C" NOT NULL,
    capability text COLLATE "C" NOT NULL,
    visibility text NOT NULL CHECK (visibility IN ('private', 'organization', 'public')),
    state text NOT NULL CHECK (state IN ('active', 'deprecated')),
    display_name text NOT NULL,
    description text NOT NULL,
    icon text NOT NULL,
    category text NOT NULL,
    tags text[] NOT NULL,
    deprecation_note text NOT NULL,
    latest_version text NOT NULL,
    published boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    words tsvector NOT NULL,
    PRIMARY KEY (org, capability)
);
CREATE INDEX capabilities_by_words ON capabilities USING gin (words);

CREATE TABLE blobs (
    digest text COLLATE "C" PRIMARY KEY,
    bytes bytea NOT NULL
);
CREATE TABLE artifacts (
    org text COLLATE "C" NOT NULL,
    digest text COLLATE "C" NOT NULL REFERENCES blobs (digest) DEFERRABLE INITIALLY DEFERRED,
    size_bytes integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org, digest)
);
CREATE INDEX artifacts_by_digest ON artifacts (digest);

CREATE TABLE releases (
    org text COLLATE "C" NOT NULL,
    capability text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    precedence text COLLATE "C" NOT NULL,
    state text NOT NULL CHECK (state IN ('draft', 'checking', 'published', 'rejected', 'yanked')),
    -- json and not jsonb: what was released is read as it was written.
    manifest json NOT NULL,
    header json,
    findings json NOT NULL,
    digest text COLLATE "C" NOT NULL,
    size_bytes integer NOT NULL,
    filename text NOT NULL,
    yank_note text NOT NULL,
    created_at timestamptz NOT NULL,
    published_at timestamptz,
    PRIMARY KEY (org, capability, version),
    UNIQUE (org, capability, digest),
    FOREIGN KEY (org, capability) REFERENCES capabilities (org, capability),
    FOREIGN KEY (org, digest) REFERENCES artifacts (org, digest)
);
CREATE INDEX releases_by_precedence ON releases (org, capability, precedence);
CREATE INDEX releases_by_artifact ON releases (org, digest);
CREATE INDEX releases_to_check ON releases (created_at) WHERE state = 'checking';

CREATE TABLE ticket_keys (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    key bytea NOT NULL
);
"""

# Beside its own rows an org reads what others made public, and changes none of it.
PUBLIC = """
CREATE POLICY made_public ON capabilities FOR SELECT USING (visibility = 'public' AND published);
CREATE POLICY made_public ON releases FOR SELECT USING (
    state IN ('published', 'yanked')
    AND EXISTS (
        SELECT FROM capabilities
        WHERE capabilities.org = releases.org AND capabilities.capability = releases.capability
            AND capabilities.visibility = 'public'
    )
);
"""

# Bytes belong to no org: whoever has an artifact of that digest reads them, and nobody changes them. The subqueries are
# under the artifacts' policy.
SHARED = """
ALTER TABLE blobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE blobs FORCE ROW LEVEL SECURITY;
CREATE POLICY read_own ON blobs FOR SELECT
    USING (EXISTS (SELECT FROM artifacts WHERE artifacts.digest = blobs.digest));
CREATE POLICY add_own ON blobs FOR INSERT
    WITH CHECK (EXISTS (SELECT FROM artifacts WHERE artifacts.digest = blobs.digest));
ALTER TABLE ticket_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE ticket_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY own_work ON ticket_keys USING (current_setting('hardpoint.org', true) = '*');
"""


def upgrade() -> None:
    """Create everything."""
    op.execute(TABLES)
    for table in ("capabilities", "artifacts", "releases"):
        op.execute(tenant_policy(table))
    op.execute(PUBLIC)
    op.execute(SHARED)
    op.execute(requests_table())
    op.execute(audit_table())
