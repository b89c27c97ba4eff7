"""Hardpoint for Python programs: a typed client whose calls raise the server's own errors, and an Agent."""

from hardpoint_client.agent import Agent, AgentResponse
from hardpoint_client.client import Hardpoint
from hardpoint_client.context import CallContext
from hardpoint_client.login import Login

__all__ = ["Agent", "AgentResponse", "CallContext", "Hardpoint", "Login"]
