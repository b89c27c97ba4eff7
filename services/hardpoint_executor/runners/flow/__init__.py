"""Runs releases of kind `flow`: a plan, walked in memory within one execution."""
