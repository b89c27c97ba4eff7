"""What examples of releases did outside when they were recorded; it goes with the release."""

from alembic import op

from hardpoint_kit.database import tenant_policy

revision = "0003"
down_revision = "0002"

CASSETTES = """
CREATE TABLE cassettes (
    org text COLLATE "C" NOT NULL,
    capability text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    example text COLLATE "C" NOT NULL,
    cassette bytea NOT NULL,
    PRIMARY KEY (org, capability, version, example),
    FOREIGN KEY (org, capability, version) REFERENCES releases (org, capability, version) ON DELETE CASCADE
);
"""


def upgrade() -> None:
    """Create the table."""
    op.execute(CASSETTES)
    op.execute(tenant_policy("cassettes"))
