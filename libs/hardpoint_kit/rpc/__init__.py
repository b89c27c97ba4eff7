"""gRPC edges: errors as statuses, the server with its interceptors, the client channel."""
