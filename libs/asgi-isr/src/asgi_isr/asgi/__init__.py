"""The way in and out: the ASGI middleware and what it sends."""
