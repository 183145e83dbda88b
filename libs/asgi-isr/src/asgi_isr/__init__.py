"""A coherent page cache for ASGI: incremental static regeneration with tags, over all instances.

    from asgi_isr import CacheMiddleware, CacheSettings, PageCache

    app = CacheMiddleware(app, PageCache(CacheSettings()))

No instance serves, as fresh, a page older than an invalidation that it has seen. The rules are in
`docs/adr/0002-coherence-protocol.md`.
"""

from asgi_isr.asgi.middleware import CacheMiddleware
from asgi_isr.engine.cache import PageCache
from asgi_isr.events import Invalidation
from asgi_isr.settings import CacheSettings

__all__ = ["CacheMiddleware", "CacheSettings", "Invalidation", "PageCache"]
