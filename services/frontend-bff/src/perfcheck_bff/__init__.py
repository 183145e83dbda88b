"""The pages of perfcheck, rendered incrementally and served through asgi-isr."""

from perfcheck_bff.app import create_app
from perfcheck_bff.settings import Settings

__all__ = ["Settings", "create_app"]
