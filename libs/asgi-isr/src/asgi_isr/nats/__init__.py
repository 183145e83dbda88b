"""JetStream, once: connection, requests, streams."""
