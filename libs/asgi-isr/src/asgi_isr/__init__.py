"""A coherent page cache for ASGI: incremental static regeneration with tags, over all instances.

    from asgi_isr import CacheMiddleware, CacheSettings, PageCache

    app = CacheMiddleware(app, PageCache(CacheSettings()))

No instance serves, as fresh, a page older than an invalidation that it has seen. The rules are in
`docs/coherence.md`. What is imported from elsewhere in this package than its public modules, which
the README names, may change with each version.
"""

from asgi_isr.asgi.middleware import CacheMiddleware
from asgi_isr.coherence import LiveSet, Observer, Progress, Reached
from asgi_isr.engine.cache import PageCache
from asgi_isr.engine.status import InstanceStatus, LocalPagesStatus
from asgi_isr.errors import (
    AlreadyOpenError,
    InvalidEventError,
    IsrError,
    LogUnavailableError,
    NotCachedError,
    NotOpenError,
    RenderTimeoutError,
    StoreUnavailableError,
)
from asgi_isr.events import Invalidation
from asgi_isr.ports import Clock, Log, Store, SystemClock
from asgi_isr.settings import CacheSettings

__all__ = [
    "AlreadyOpenError",
    "CacheMiddleware",
    "CacheSettings",
    "Clock",
    "InstanceStatus",
    "InvalidEventError",
    "Invalidation",
    "IsrError",
    "LiveSet",
    "LocalPagesStatus",
    "Log",
    "LogUnavailableError",
    "NotCachedError",
    "NotOpenError",
    "Observer",
    "PageCache",
    "Progress",
    "Reached",
    "RenderTimeoutError",
    "Store",
    "StoreUnavailableError",
    "SystemClock",
]
