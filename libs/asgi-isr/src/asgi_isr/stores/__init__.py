"""Shared stores: any key-value store will do, because each reader judges what it reads."""

from asgi_isr.stores.memory import MemoryStore

__all__ = ["MemoryStore"]
