"""Workflows on DBOS: the queue of stretches, and the process that takes them from it.

A run of a workflow is a chain of stretches, each one workflow of DBOS: it walks the plan until the run has ended, or
until all that is left is to wait, and then it is over. What a run is and how far it came stands in the runtime's own
tables, under row level security; DBOS holds the names of orgs and runs, and nothing of theirs.
"""
