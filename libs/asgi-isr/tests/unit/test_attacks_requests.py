"""Requests that are another one to the app than to the cache."""

from typing import Any

import pytest
from asgi_isr.testing import request
from asgi_isr.types import Message, Receive, Scope, Send


class Echo:
    """An app that answers with the content of the request, and lets it be stored."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        body, more = b"", True
        while more:
            message: Message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        fields = [(b"cache-control", b"max-age=60")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": scope["method"].encode() + b" " + body})


async def test_get_with_content_reaches_the_app_with_it(site: Any) -> None:
    """A GET with content is the app's to answer, is not kept, and may be kept by nobody."""
    site.app = Echo()
    app = await site.instance()
    await request(app, "/search")
    for content in (b"one", b"two"):
        reply = await request(app, "/search", body=content)
        assert (b"GET " + content, "no-store") == (reply.body, reply.headers["cache-control"])
    chunked = {"Transfer-Encoding": "chunked"}
    assert "fwd=bypass" in (await request(app, "/search", headers=chunked)).cache_status
    assert (await request(app, "/search")).body == b"GET "


async def test_get_that_says_it_has_no_content_is_a_hit(site: Any) -> None:
    """`Content-Length: 0` keeps no GET from the cache."""
    app = await site.instance()
    for outcome in ("stored", "hit"):
        reply = await request(app, "/a", headers={"Content-Length": "0"})
        assert outcome in reply.cache_status


@pytest.mark.parametrize(
    "name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-URL",
             "X-Rewrite-URL"],
)  # fmt: skip
async def test_field_that_overrides_the_request_line_is_not_kept(site: Any, name: str) -> None:
    """What some frameworks read as another method or target makes no page of this one."""
    app = await site.instance()
    poisoned = await request(app, "/a", headers={name: "/b"})
    assert "fwd=bypass" in poisoned.cache_status
    assert poisoned.headers["cache-control"] == "no-store"
    assert "stored" in (await request(app, "/a")).cache_status


@pytest.mark.parametrize("status", [400, 408, 411, 413, 415, 417, 421, 422, 425, 426])
async def test_answer_to_what_no_key_holds_is_not_kept(site: Any, status: int) -> None:
    """A fault of one request (a field too long, say) is no page for others, lifetime or not."""
    app = await site.instance()
    site.app.status = status
    assert "stored" not in (await request(app, "/a")).cache_status
    site.app.status = 200
    assert (await request(app, "/a")).status == 200


async def test_every_request_counts_once(site: Any) -> None:
    """Also one with credentials whose answer may not be stored counts, as `unstorable`."""
    app = await site.instance()
    await request(app, "/a", headers={"Authorization": "Basic YTpi"})
    counters = site.caches[0].counters
    assert (counters.unstorable, counters.misses, counters.bypassed) == (1, 0, 0)
