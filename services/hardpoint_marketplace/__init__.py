"""The unit `marketplace`: the pages on which people find capabilities. Calls the registry."""
