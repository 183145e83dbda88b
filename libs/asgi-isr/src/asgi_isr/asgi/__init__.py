"""The way in and out: the ASGI middleware, what it sends, and a client for one request."""

from asgi_isr.asgi.client import Reply, request
from asgi_isr.asgi.middleware import CacheMiddleware, ReadYourWrites

__all__ = ["CacheMiddleware", "ReadYourWrites", "Reply", "request"]
