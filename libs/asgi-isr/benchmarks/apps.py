"""The apps that `hit` compares: a page behind a cache, and the same answer as constant bytes."""

import asyncio
from typing import Any

from asgi_isr import CacheMiddleware, CacheSettings, PageCache
from asgi_isr.testing import Reply, request

PAGE_BYTES = 12_700
PATH = "/page"
_LINE = b"<tr><td>2026-10-30</td><td>USD</td><td>1.0853</td></tr>\n"
BODY = (_LINE * (PAGE_BYTES // len(_LINE) + 1))[:PAGE_BYTES]
_HEADERS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cdn-cache-control", b"max-age=86400"),
    (b"cache-control", b"public, max-age=0, must-revalidate"),
    (b"cache-tag", b"currency:usd, currency:jpy"),
    (b"x-content-type-options", b"nosniff"),
]
_HIT_TIMEOUT_S = 10.0


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _page(scope: Any, receive: Any, send: Any) -> None:
    """Render the page that is cached."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": BODY})


def cached() -> CacheMiddleware:
    """Return the page behind a cache (a Granian factory)."""
    return CacheMiddleware(_page, PageCache(CacheSettings(vary_host=False)))


async def _hit() -> Reply:
    """Return what the cache answers, so that the bare apps send the same bytes."""
    middleware = cached()
    async with middleware.cache, asyncio.timeout(_HIT_TIMEOUT_S):
        while True:
            reply = await request(middleware, PATH)
            if "; hit" in reply.cache_status:
                return reply
            await asyncio.sleep(0)


class _Bare:
    """An ASGI app that answers everything with the bytes of a hit, and does nothing else."""

    def __init__(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            fields = (await _hit()).headers.items()
            self._headers = [(name.encode(), value.encode("latin-1")) for name, value in fields]
            await _lifespan(receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": self._headers.copy()})
        await send({"type": "http.response.body", "body": BODY})


class _BareRsgi:
    """The same over RSGI, Granian's own interface."""

    def __init__(self) -> None:
        self._headers: list[tuple[str, str]] = []

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._headers = list(loop.run_until_complete(_hit()).headers.items())

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        protocol.response_bytes(200, self._headers.copy(), BODY)


def bare() -> _Bare:
    """Return the bare ASGI app (a Granian factory)."""
    return _Bare()


def bare_rsgi() -> _BareRsgi:
    """Return the bare RSGI app (a Granian factory)."""
    return _BareRsgi()
