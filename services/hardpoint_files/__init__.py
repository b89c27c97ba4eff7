"""The files that organisations keep, the bytes of each once, and what lets an execution open them; calls no unit."""
