"""`Upstream` as an app in a process of one's own, on asyncio's own event loop."""

import asyncio
from typing import Any

import pytest
from asgi_isr import CacheMiddleware
from asgi_isr.proxy.errors import UpstreamError
from asgi_isr.proxy.pool import Origin
from asgi_isr.proxy.upstream import Upstream
from asgi_isr.testing import request
from perfcheck_embedded import LOOPBACK, free_port

SIZE = 8 * 1024 * 1024


async def test_content_through_the_cache(origin: Any, site: Any) -> None:
    """Any middleware may stand before it: here the cache, which keeps what it may."""

    async def handler(asked: Any, _: Any, writer: asyncio.StreamWriter) -> None:
        kept = b"max-age=60" if asked.target == "/kept" else b"no-store"
        size = 3 if asked.target == "/kept" else SIZE
        head = b"HTTP/1.1 200 OK\r\nCache-Control: %b\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % (kept, size) + b"x" * size)

    origin.handler = handler
    instance = await site.instance()
    app = CacheMiddleware(Upstream(Origin(LOOPBACK, origin.port)), instance.cache)
    for _ in range(2):
        assert (await request(app, "/kept")).body == b"xxx"
        assert len((await request(app, "/large")).body) == SIZE
    assert [asked.target for asked in origin.requests] == ["/kept", "/large", "/large"]
    assert origin.connections == 1


async def test_failure_is_raised() -> None:
    """Without an upstream it raises, so that who stands before it can decide."""
    app = Upstream(Origin(LOOPBACK, free_port()))
    with pytest.raises(UpstreamError, match="connection_refused"):
        await request(app, "/x")
