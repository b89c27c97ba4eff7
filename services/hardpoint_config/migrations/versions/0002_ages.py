"""Indexes that find what is old enough to be forgotten."""

from alembic import op

from hardpoint_kit.audit import events_by_age
from hardpoint_kit.idempotency import requests_by_age

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create them."""
    op.execute(requests_by_age())
    op.execute(events_by_age())
