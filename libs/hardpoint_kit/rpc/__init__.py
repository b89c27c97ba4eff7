"""gRPC edges: errors as statuses, the server with its gate, the client channel."""
