"""The command line: what a person or a script says to Hardpoint, and what it answers."""
