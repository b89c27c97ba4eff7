"""Runs of workflows: what they go on from, their steps, and the processes that walk them."""

from alembic import op

from hardpoint_kit.database import tenant_policy

revision = "0008"
down_revision = "0007"

TABLES = """
    -- Beside its row in `runs`: all that a run of a workflow needs to go on, in any process. `release` is the one that
    -- it began with, `stretch` the newest piece of its way, `sequence` counts what changed of it and of its steps.
    CREATE TABLE workflows (
        org text COLLATE "C" NOT NULL,
        run text COLLATE "C" NOT NULL,
        installation text COLLATE "C" NOT NULL,
        release jsonb NOT NULL,
        given json NOT NULL,
        forked json NOT NULL DEFAULT '{}',
        stretch integer NOT NULL DEFAULT 1,
        carrier jsonb NOT NULL DEFAULT '{}',
        output json,
        begun integer NOT NULL DEFAULT 0,
        attempts integer NOT NULL DEFAULT 0,
        sequence bigint NOT NULL DEFAULT 1,
        run_sequence bigint NOT NULL DEFAULT 1,
        PRIMARY KEY (org, run),
        FOREIGN KEY (org, run) REFERENCES runs ON DELETE CASCADE
    );

    -- `step` is where it stands in the plan ("store", "mail/3"), `number` when it began. One that is RUNNING in no
    -- process may have happened. `due_at`, `waits`, `shown` and `decision` are those of steps that wait.
    CREATE TABLE steps (
        org text COLLATE "C" NOT NULL,
        run text COLLATE "C" NOT NULL,
        step text COLLATE "C" NOT NULL,
        number integer NOT NULL,
        sequence bigint NOT NULL,
        action text NOT NULL DEFAULT '',
        release text NOT NULL DEFAULT '',
        state text NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        worker text NOT NULL DEFAULT '',
        waits text NOT NULL DEFAULT '',
        shown json,
        decision json,
        due_at timestamptz,
        output json,
        reason text NOT NULL DEFAULT '',
        message text NOT NULL DEFAULT '',
        place text NOT NULL DEFAULT '',
        fix text NOT NULL DEFAULT '',
        facts jsonb NOT NULL DEFAULT '{}',
        started_at timestamptz NOT NULL,
        duration_us bigint NOT NULL DEFAULT 0,
        usage jsonb NOT NULL DEFAULT '{}',
        PRIMARY KEY (org, run, step),
        FOREIGN KEY (org, run) REFERENCES workflows ON DELETE CASCADE
    );

    ALTER TABLE attachments ADD COLUMN require_approval text[] NOT NULL DEFAULT '{}';

    -- Processes that walk workflows, of all orgs. One that has not been heard of for seconds is dead.
    CREATE TABLE workers (
        worker text COLLATE "C" PRIMARY KEY,
        beat_at timestamptz NOT NULL
    );
"""


def upgrade() -> None:
    """Create them."""
    op.execute(TABLES)
    for table in ("workflows", "steps"):
        op.execute(tenant_policy(table))
