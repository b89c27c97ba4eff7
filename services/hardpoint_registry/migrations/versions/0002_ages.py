"""Indexes that find what is old enough to be forgotten, and the right to forget bytes that no org has any more."""

from alembic import op

from hardpoint_kit.audit import events_by_age
from hardpoint_kit.idempotency import requests_by_age

revision = "0002"
down_revision = "0001"

ARTIFACTS = """
CREATE INDEX artifacts_by_age ON artifacts (created_at);
-- A row that is deleted has to be seen: this unit's own work sees also bytes that nobody has.
CREATE POLICY see_unused ON blobs FOR SELECT USING (current_setting('hardpoint.org', true) = '*');
CREATE POLICY forget_unused ON blobs FOR DELETE USING (
    current_setting('hardpoint.org', true) = '*'
    AND NOT EXISTS (SELECT FROM artifacts WHERE artifacts.digest = blobs.digest)
);
"""


def upgrade() -> None:
    """Create them."""
    op.execute(requests_by_age())
    op.execute(events_by_age())
    op.execute(ARTIFACTS)
