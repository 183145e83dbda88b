"""The old place of `asgi_isr.frameworks.litestar`."""

from asgi_isr.frameworks.litestar import BROWSER, Tags, cached

__all__ = ["BROWSER", "Tags", "cached"]
