"""Runs one action of each kind."""
