"""The registry: capabilities, their immutable releases, and the bytes of both; calls no other unit."""
