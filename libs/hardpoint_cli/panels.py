"""The groups in which `hardpoint --help` lists the commands, in their order."""

WRITE = "Write and publish a capability"
FIND = "Find and install"
SET = "Give it settings and secrets"
AGENTS = "Let agents use it"
WATCH = "See what happens"
ORDER = (WRITE, FIND, SET, AGENTS, WATCH)
