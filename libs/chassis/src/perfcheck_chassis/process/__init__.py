"""The life of a process: served, drained, and its background tasks watched."""

from perfcheck_chassis.process.background import background_tasks
from perfcheck_chassis.process.server import serve

__all__ = ["background_tasks", "serve"]
