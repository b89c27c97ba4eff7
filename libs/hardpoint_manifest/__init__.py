"""The capability language: what authors write, checked and normalised into one model.

Pure functions, no I/O, no protobuf. `load` reads a file's bytes, `check` says what is wrong and builds the manifest,
`expression` evaluates what stands in it, `authority` and `version` do the algebra of grants and releases.
"""
