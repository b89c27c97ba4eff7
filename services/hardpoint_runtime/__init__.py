"""The agent runtime: agents, what is attached to them, the calls they make and the record of what ran."""
