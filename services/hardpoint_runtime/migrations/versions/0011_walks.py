"""Whose turn a run is: each process that takes it up counts `walk` up, and what an earlier one writes is refused.

`workflows.attempts` is of processes of before, and not read any more; `steps.worker` says who wrote a step last.
"""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Count from 0; `page` counts what was written in one turn."""
    op.execute(
        "ALTER TABLE workflows ADD COLUMN walk integer NOT NULL DEFAULT 0, ADD COLUMN page integer NOT NULL DEFAULT 0"
    )
