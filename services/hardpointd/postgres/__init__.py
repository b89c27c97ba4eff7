"""The zero-install database: PostgreSQL without an installation, shared by the processes of one state folder."""

from hardpointd.postgres.databases import ensure_database
from hardpointd.postgres.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres", "ensure_database"]
