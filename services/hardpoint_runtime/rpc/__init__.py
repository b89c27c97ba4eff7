"""The runtime's gRPC shell: unpack, call, pack."""
