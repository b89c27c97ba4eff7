"""The nouns of the agent runtime and the rules on them: pure values, no I/O, nothing of gRPC or SQL."""
