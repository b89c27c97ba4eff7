"""A runtime that walks workflows, as a process that tests kill."""
