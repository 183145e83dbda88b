"""Responses that must not be stored reach the client as the app sent them."""

import asyncio
from typing import Any

import pytest
from asgi_isr.asgi.middleware import CacheMiddleware
from asgi_isr.engine.cache import PageCache
from asgi_isr.testing import eventually, request
from asgi_isr.types import Receive, Scope, Send

PAGE = "/page"


@pytest.mark.parametrize(
    "field",
    [
        (b"set-cookie", b"a=b"),
        (b"vary", b"Cookie"),
        (b"vary", b"*"),
        (b"cache-tag", b",".join(b"t%d" % n for n in range(51))),
        (b"cache-tag", b"x" * 257),
        (b"cache-tag", "tag:é".encode("latin-1")),
    ],
)
async def test_field_forbids_storing(site: Any, field: tuple[bytes, bytes]) -> None:
    """A cookie, an unknown Vary, too many or invalid tags: each request is rendered."""
    site.app.headers[PAGE] = [field]
    app = await site.instance()
    for _ in range(2):
        reply = await request(app, PAGE)
        assert "fwd=bypass" in reply.cache_status
        assert field[0].decode() in reply.headers
    assert len(site.app.renders) == 2


@pytest.mark.parametrize(
    "directive",
    [
        "no-store",
        "private",
        "no-cache",
        "max-age=0",
        "public",
        "max-age=x",
        "s-maxage=0, max-age=9",
    ],
)
async def test_directive_forbids_storing(site: Any, directive: str) -> None:
    """Without a lifetime, or with a directive against it, nothing is stored."""
    site.app.cache_control = directive
    app = await site.instance()
    await request(app, PAGE)
    await request(app, PAGE)
    assert len(site.app.renders) == 2


async def test_errors_are_not_stored(site: Any) -> None:
    """A 5xx is passed on, and the next request asks the app again."""
    app = await site.instance()
    site.app.status = 500
    assert (await request(app, PAGE)).status == 500
    site.app.status = 200
    assert (await request(app, PAGE)).status == 200
    assert "hit" in (await request(app, PAGE)).cache_status


async def test_not_found_is_stored_with_its_tags(site: Any) -> None:
    """A 404 that names a lifetime is kept like a page, and its tags end it."""
    site.app.status = 404
    site.app.headers[PAGE] = [(b"cache-tag", b"day:2026-10-30")]
    app = await site.instance()
    await request(app, PAGE)
    assert ((await request(app, PAGE)).status, len(site.app.renders)) == (404, 1)
    site.app.status = 200
    await site.publish("day:2026-10-30")
    assert (await request(app, PAGE)).status == 200


async def test_page_over_the_limit_passes_through(site: Any) -> None:
    """A body over `page_bytes_max` reaches the client whole and is not kept."""
    site.app.bodies[PAGE] = b"x" * 1001
    app = await site.instance(page_bytes_max=1000)
    for _ in range(2):
        assert (await request(app, PAGE)).body == b"x" * 1001
    assert len(site.app.renders) == 2
    assert app.cache.session.local.bytes == 0


async def test_stream_reaches_the_client_as_it_comes() -> None:
    """A response that is not stored is not held back until it ends."""
    first_seen, go_on = asyncio.Event(), asyncio.Event()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"two", "more_body": False})

    async with PageCache() as cache:
        await eventually(lambda: cache.status().joined, poll_s=0)
        app = CacheMiddleware(stream, cache)

        async def watching(scope: Scope, receive: Receive, send: Send) -> None:
            async def seen(message: Any) -> None:
                await send(message)
                if message.get("body") == b"one":
                    first_seen.set()

            await app(scope, receive, seen)

        async with asyncio.timeout(2), asyncio.TaskGroup() as tasks:
            reply = tasks.create_task(request(watching, PAGE))
            await first_seen.wait()
            go_on.set()
        assert reply.result().body == b"onetwo"


async def test_request_with_credentials_is_rendered_for_itself(site: Any) -> None:
    """Without a word that it is for all, a page is neither stored for credentials nor used."""
    app = await site.instance()
    await request(app, PAGE, headers={"Authorization": "x"})
    assert app.cache.session.local.bytes == 0
    await request(app, PAGE)
    await request(app, PAGE, headers={"Authorization": "x"})
    assert len(site.app.renders) == 3


async def test_request_for_a_part_of_no_page_goes_to_the_app(site: Any) -> None:
    """A part of a page that is not here is the app's to give, and leaves nothing behind."""
    app = await site.instance()
    await request(app, PAGE, headers={"Range": "bytes=0-1"})
    assert app.cache.session.local.bytes == 0
    assert dict(site.app.scopes[0]["headers"])[b"range"] == b"bytes=0-1"


async def test_other_methods_bypass(site: Any) -> None:
    """POST reaches the app each time."""
    app = await site.instance()
    await request(app, PAGE)
    await request(app, PAGE, method="POST")
    assert len(site.app.renders) == 2


async def test_bypassed_prefix_reaches_the_app(site: Any) -> None:
    """A path below a bypassed prefix is none of the cache's business."""
    app = await site.instance(bypass=("/api/",))
    reply = await request(app, "/api/health", query="a=1")
    assert "cache-status" not in reply.headers
    assert site.app.scopes[0]["query_string"] == b"a=1"


async def test_unkeyed_input_is_hidden_from_the_app(site: Any) -> None:
    """Query parameters that pages do not depend on neither split the cache nor reach the app."""
    app = await site.instance(query=frozenset({"page"}))
    await request(app, PAGE, query="utm=evil&page=2")
    assert "hit" in (await request(app, PAGE, query="page=2&utm=other")).cache_status
    assert site.app.scopes[0]["query_string"] == b"page=2"
    assert "hit" not in (await request(app, PAGE, query="page=3")).cache_status


async def test_conditions_of_one_client_do_not_reach_the_render(site: Any) -> None:
    """The render is for everybody: it sees no validator and no accepted coding of the client."""
    app = await site.instance()
    await request(app, PAGE, headers={"If-None-Match": '"x"', "Accept-Encoding": "br"})
    names = {name for name, _ in site.app.scopes[0]["headers"]}
    assert names == {b"host"}


async def test_targeted_field_is_not_passed_on(site: Any) -> None:
    """`CDN-Cache-Control` speaks to this cache; what stands behind it hears Cache-Control."""
    app = await site.instance()
    for _ in range(2):
        reply = await request(app, PAGE)
        assert "cdn-cache-control" not in reply.headers
        assert reply.headers["cache-control"] == "public, max-age=0, must-revalidate"
