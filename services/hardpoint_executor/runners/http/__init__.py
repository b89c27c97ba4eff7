"""Runs actions of kind `http`: one request through the broker, one answer mapped to the declared outputs."""

from hardpoint_executor.runners.http.plan import HttpPlan

__all__ = ["HttpPlan"]
