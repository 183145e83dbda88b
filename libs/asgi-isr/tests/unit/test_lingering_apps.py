"""Apps that go on after their response, as background tasks of frameworks do."""

import asyncio
import logging
from typing import Any

import pytest
from asgi_isr.testing import request
from asgi_isr.types import Receive, Scope, Send


class Lingering:
    """Answers, then works on until `released`; fails at the end if there is an `error`."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.ended = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        del scope, receive
        fields = [(b"cache-control", b"max-age=60")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"done"})
        try:
            await self.released.wait()
        finally:
            self.ended.set()
        if self.error is not None:
            raise self.error


async def test_answer_does_not_wait_for_what_the_app_does_after_it(site: Any) -> None:
    """A page is answered when it is whole, and what the app does then still comes to its end."""
    site.app = Lingering()
    app = await site.instance()
    async with asyncio.timeout(5.0):
        assert (await request(app, "/a")).body == b"done"
        assert "hit" in (await request(app, "/a")).cache_status
        assert not site.app.ended.is_set()
        site.app.released.set()
        await site.app.ended.wait()


async def test_what_an_app_raises_after_its_response_is_told(
    site: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The page was whole, so it is kept; the error is in the log."""
    site.app = Lingering()
    site.app.error = OSError("the mail was not sent")
    app = await site.instance()
    with caplog.at_level(logging.ERROR):
        await request(app, "/a")
        site.app.released.set()
        await site.app.ended.wait()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert "the mail was not sent" in caplog.text
    assert "hit" in (await request(app, "/a")).cache_status


async def test_closing_the_cache_ends_what_still_goes_on(site: Any) -> None:
    """Nothing outlives the cache: the server ends when its lifespan has."""
    site.app = Lingering()
    app = await site.instance()
    await request(app, "/a")
    async with asyncio.timeout(5.0):
        await app.cache.__aexit__(None, None, None)
    assert site.app.ended.is_set()
