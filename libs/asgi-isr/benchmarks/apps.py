"""The two apps that `hit.py` compares: one answers constant bytes, one is a page cache's hit."""

from typing import Any

from asgi_isr import CacheMiddleware, CacheSettings, PageCache

PAGE_BYTES = 12_700
_LINE = b"<tr><td>2026-10-30</td><td>USD</td><td>1.0853</td></tr>\n"
BODY = (_LINE * (PAGE_BYTES // len(_LINE) + 1))[:PAGE_BYTES]
APP_HEADERS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"public, max-age=0, must-revalidate"),
    (b"cache-tag", b"currency:usd, currency:jpy"),
    (b"x-content-type-options", b"nosniff"),
]
# What a hit adds, so that both servers send the same bytes.
HIT_HEADERS = [
    (b"vary", b"Accept-Encoding"),
    (b"etag", b'"0123456789abcdef01234567"'),
    (b"content-length", str(len(BODY)).encode()),
    (b"age", b"1"),
    (b"cache-status", b"asgi-isr; hit; ttl=86399; detail=local; fence=1795400000000123"),
]


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Answer the same bytes as a hit, and do nothing else."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    headers = [*APP_HEADERS, *HIT_HEADERS]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


async def page(scope: Any, receive: Any, send: Any) -> None:
    """Render the page that is cached."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    headers = [*APP_HEADERS, (b"cdn-cache-control", b"max-age=86400")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def cached() -> CacheMiddleware:
    """Return the page behind a cache (a Granian factory)."""
    return CacheMiddleware(page, PageCache(CacheSettings(vary_host=False)))


def plain() -> Any:
    """Return the bare app (a Granian factory)."""
    return bare
