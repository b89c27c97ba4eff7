"""Listings, and the installations that they count."""

from alembic import op

from hardpoint_kit.audit import audit_table
from hardpoint_kit.database import tenant_policy
from hardpoint_kit.idempotency import requests_table

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE listings (
    org text COLLATE "C" NOT NULL,
    capability text COLLATE "C" NOT NULL,
    state text NOT NULL,
    display_name text NOT NULL,
    icon text NOT NULL,
    summary text NOT NULL,
    price_amount numeric CHECK (price_amount > 0),
    price_currency text,
    price_period text,
    license text NOT NULL,
    documentation_url text NOT NULL,
    support_url text NOT NULL,
    repository_url text NOT NULL,
    categories text[] NOT NULL,
    tags text[] NOT NULL,
    featured boolean NOT NULL DEFAULT false,
    latest_version text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    search tsvector NOT NULL,
    PRIMARY KEY (org, capability),
    CHECK (num_nulls(price_amount, price_currency, price_period) IN (0, 3))
);
-- Who installed what: each installation of a listing once.
CREATE TABLE installations (
    org text COLLATE "C" NOT NULL,
    installation text COLLATE "C" NOT NULL,
    listing_org text COLLATE "C" NOT NULL,
    listing_capability text COLLATE "C" NOT NULL,
    PRIMARY KEY (listing_org, listing_capability, org, installation),
    FOREIGN KEY (listing_org, listing_capability) REFERENCES listings (org, capability)
);
-- How many those are, without saying who: the sum of a listing's shares.
CREATE TABLE install_counts (
    org text COLLATE "C" NOT NULL,
    capability text COLLATE "C" NOT NULL,
    share integer NOT NULL,
    counted bigint NOT NULL,
    PRIMARY KEY (org, capability, share),
    FOREIGN KEY (org, capability) REFERENCES listings (org, capability)
);
"""

# What is listed is read by every org; what is hidden, and every write, is the owner's.
PUBLIC = """
CREATE POLICY listed ON listings FOR SELECT USING (state = 'LISTED');
CREATE POLICY listed ON install_counts FOR SELECT USING (
    EXISTS (
        SELECT FROM listings
        WHERE listings.org = install_counts.org AND listings.capability = install_counts.capability
    )
);
"""


def upgrade() -> None:
    """Create everything."""
    op.execute(TABLES)
    for table in ("listings", "installations", "install_counts"):
        op.execute(tenant_policy(table))
    op.execute(PUBLIC)
    op.execute(requests_table())
    op.execute(audit_table())
