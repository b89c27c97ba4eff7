"""The zero-install database: PostgreSQL without an installation, shared by the processes of one state folder."""

from .databases import ensure_database
from .server import EmbeddedPostgres, default_state_folder

__all__ = ["EmbeddedPostgres", "default_state_folder", "ensure_database"]
