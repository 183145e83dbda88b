"""Builds the proxy: entrance, cache, upstream."""

import importlib

from asgi_isr.asgi.middleware import CacheMiddleware
from asgi_isr.engine.cache import PageCache
from asgi_isr.ports import Log, Store
from asgi_isr.proxy.entrance import Entrance
from asgi_isr.proxy.options import origin
from asgi_isr.proxy.settings import ProxySettings
from asgi_isr.proxy.upstream import Upstream
from asgi_isr.types import App


def create_app(settings: ProxySettings) -> App:
    """Return the ASGI app of the proxy; everything opens in its lifespan.

    Raises `ModuleNotFoundError` when the driver of store or log is not installed.
    """
    cache = settings.cache
    upstream = Upstream(
        origin(settings.upstream),
        name=cache.name,
        host=settings.upstream_host,
        connections_max=settings.connections_max,
        connect_timeout_s=settings.connect_timeout_s,
        timeout_s=settings.upstream_timeout_s,
        idle_timeout_s=settings.idle_timeout_s,
    )
    pages = PageCache(cache, log=_log(settings), store=_store(settings))
    return Entrance(
        CacheMiddleware(upstream, pages),
        upstream,
        name=cache.name,
        bypass=cache.bypass,
        trusted=settings.trust_forwarded,
    )


# Drivers are extras: they are imported where they are asked for.


def _log(settings: ProxySettings) -> Log | None:
    if not settings.log:
        return None
    module = importlib.import_module("asgi_isr.logs.nats")
    log: Log = module.NatsLog(settings.log, publish_marks=not settings.marks_by_relay)
    return log


def _store(settings: ProxySettings) -> Store | None:
    if not settings.store:
        return None
    store: Store = importlib.import_module("asgi_isr.stores.redis").RedisStore(settings.store)
    return store
