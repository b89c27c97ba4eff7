"""The chassis every service stands on; knows no service."""

import os

# Before anything imports grpc: its fork handlers would run in every program that a process of ours starts as another
# user, and break it. We start programs, and never go on in Python after a fork.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
