"""The unit `config`: settings and secrets of an org, and the leases they are read through. Calls no other unit."""
