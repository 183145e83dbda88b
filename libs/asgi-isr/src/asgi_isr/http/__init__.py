"""Fields and rules of HTTP (RFC 9110, 9111): pure functions."""
