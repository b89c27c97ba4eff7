"""The daemon: the one place that knows every unit and puts them together."""

import os

# Before anything imports grpc: its C core tells of every closed connection on stderr, past our logging.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
