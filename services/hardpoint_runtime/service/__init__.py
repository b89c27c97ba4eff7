"""The use cases of the agent runtime, and what it remembers between calls."""
