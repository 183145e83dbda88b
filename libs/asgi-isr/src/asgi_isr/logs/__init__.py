"""Invalidation logs: NATS JetStream for a fleet, memory for one process and for tests."""

from asgi_isr.logs.memory import MemoryLog

__all__ = ["MemoryLog"]
