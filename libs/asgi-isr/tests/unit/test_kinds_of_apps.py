"""Apps, servers and layers around the cache use ASGI in many ways; each keeps working."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from asgi_isr import CacheMiddleware, PageCache
from asgi_isr.testing import ready, request
from asgi_isr.types import App, Message, Receive, Scope, Send

PAGE = "/page"
CACHED = (b"cdn-cache-control", b"max-age=100")
BIG = b"text " * 500


def answering(
    *bodies: bytes, headers: Iterable[tuple[bytes, bytes]] = (CACHED,), **start: Any
) -> App:
    """Return an app that sends `bodies`, its fields as an iterator that can be read once."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        message = {"type": "http.response.start", "status": 200, "headers": iter(headers), **start}
        await send(message)
        for body in bodies[:-1]:
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": bodies[-1]})

    return app


async def test_fields_that_can_be_read_once_reach_the_client(site: Any) -> None:
    """Header fields are any iterable (ASGI), for a page that is stored and one that is not."""
    cache = (await site.instance()).cache
    stored = CacheMiddleware(answering(b"x"), cache)
    assert "stored" in (await request(stored, PAGE)).cache_status
    passed = CacheMiddleware(answering(b"x", headers=[(b"x-a", b"b")]), cache)
    assert (await request(passed, "/other")).headers["x-a"] == "b"


async def test_response_without_fields_is_passed_on(site: Any) -> None:
    """`headers` of a start message may be missing (ASGI)."""

    async def bare(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"bare"})

    app = CacheMiddleware(bare, (await site.instance()).cache)
    for _ in range(2):  # as a render, then directly
        assert (await request(app, PAGE)).body == b"bare"


async def test_file_that_a_server_could_send_itself_is_stored(site: Any) -> None:
    """A render hears of no extension of the server, whose messages would hold no body."""

    async def file(scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        await send({"type": "http.response.start", "status": 200, "headers": [CACHED]})
        if "http.response.pathsend" in scope["extensions"]:
            await send({"type": "http.response.pathsend", "path": "/file"})
        else:
            await send({"type": "http.response.body", "body": b"file"})

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "extensions": {"http.response.pathsend": {}}}, receive, send)

    app = CacheMiddleware(file, (await site.instance()).cache)
    assert (await request(server, PAGE)).body == b"file"


async def test_app_that_waits_for_the_end_hears_of_it(site: Any) -> None:
    """After a whole response `receive` says that the client has gone, as a server's does."""

    async def lingering(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await answering(b"x")(scope, receive, send)
        while (await receive())["type"] != "http.disconnect":
            pass

    app = CacheMiddleware(lingering, (await site.instance()).cache)
    async with asyncio.timeout(2):
        assert "stored" in (await request(app, PAGE)).cache_status


@pytest.mark.parametrize("fault", [None, OSError("no lifespan here")])
async def test_app_without_lifespan_is_cached(site: Any, fault: OSError | None) -> None:
    """Where the app returns or raises on the lifespan scope, the cache answers the server."""
    events: list[str] = []

    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            if fault is not None:
                raise fault
            return
        await answering(b"x")(scope, receive, send)

    opened, closing = asyncio.Event(), asyncio.Event()

    async def receive() -> Message:
        if opened.is_set():
            await closing.wait()
            return {"type": "lifespan.shutdown"}
        opened.set()
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        events.append(message["type"])

    cache = PageCache(log=site.log, clock=site.clock)
    app = CacheMiddleware(plain, cache)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(app({"type": "lifespan"}, receive, send))
        await ready(cache)
        assert events == ["lifespan.startup.complete"]
        await request(app, PAGE)
        assert "hit" in (await request(app, PAGE)).cache_status
        closing.set()
    assert events == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_server_hears_of_the_end_when_the_cache_is_closed(site: Any) -> None:
    """`lifespan.shutdown.complete` goes out last: the server may end the process then."""
    was_open: list[bool] = []

    async def living(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def receive() -> Message:
        return {"type": "lifespan.any"}

    async def send(message: Message) -> None:
        if message["type"] == "lifespan.shutdown.complete":
            was_open.append(cache.session.renders.refusal(PAGE) is None)

    cache = PageCache(log=site.log, clock=site.clock)
    app = CacheMiddleware(living, cache)
    await app({"type": "lifespan"}, receive, send)
    assert was_open == [False]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_layer_around_the_cache_writes_into_its_own_copy(site: Any, method: str) -> None:
    """What a layer outside writes into messages (a cookie, a coding) reaches one client alone."""
    app = await site.instance()
    await request(app, PAGE)

    async def layer(scope: Scope, receive: Receive, send: Send) -> None:
        async def writing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"set-cookie", b"session=mine"))
                message["status"] = 299
            else:
                message["body"] = b"changed"
            await send(message)

        await app(scope, receive, writing)

    etag = (await request(app, PAGE)).headers["etag"]
    conditional = {"if-none-match": etag}
    for headers in ({}, conditional):
        assert (await request(layer, PAGE, method=method, headers=headers)).status == 299
        reply = await request(app, PAGE, method=method, headers=headers)
        assert reply.status == (304 if headers else 200)
        assert "set-cookie" not in reply.headers
        assert b"changed" not in reply.body
    assert (await request(app, PAGE)).body == b"page /page"


async def test_no_content_has_no_length(site: Any) -> None:
    """A kept 204 goes out without Content-Length (RFC 9110, 8.6)."""
    app = CacheMiddleware(answering(b"", status=204), (await site.instance()).cache)
    for _ in range(2):
        assert "content-length" not in (await request(app, PAGE)).headers


@pytest.mark.parametrize("validator", ["*", None])
async def test_precondition_counts_for_success_alone(site: Any, validator: str | None) -> None:
    """A kept 404 is no 304, whatever `If-None-Match` says (RFC 9110, 13.2.1)."""
    app = await site.instance()
    site.app.status = 404
    etag = (await request(app, PAGE)).headers["etag"]
    for _ in range(2):
        headers = {"If-None-Match": validator or etag}
        assert (await request(app, PAGE, headers=headers)).status == 404


@pytest.mark.parametrize(
    ("accepted", "coded"),
    [
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("gzip; q=1.0, *;q=0", True),
        ("br;q=0, gzip", True),
        ("gzip;q=0", False),
        ("deflate, gzip;q=0.000, identity", False),
        ("zstd", False),
        ("*", True),
        ("gzip;q=0.5, identity", False),
    ],
)
async def test_coding_with_weight_zero_is_not_sent(
    site: Any, accepted: str, *, coded: bool
) -> None:
    """A coding is sent where it is accepted, at least as much as none (RFC 9110, 12.5.3)."""
    site.app.bodies[PAGE] = BIG
    app = await site.instance()
    for _ in range(2):
        reply = await request(app, PAGE, headers={"Accept-Encoding": accepted})
        assert ("content-encoding" in reply.headers) is coded


@pytest.mark.parametrize("vary_host", [True, False])
async def test_question_mark_in_a_path_makes_no_other_page(site: Any, *, vary_host: bool) -> None:
    """`/page%3Fa=1` is not `/page?a=1`, neither to be stored nor to be answered."""
    app = await site.instance(vary_host=vary_host)
    await request(app, "/page?a=1")
    first = await request(app, "/page", query="a=1")
    assert first.body == b"page /page"
    assert (await request(app, "/page?a=1")).body == b"page /page?a=1"


@pytest.mark.parametrize(
    ("hosts", "path"),
    [([b"test/a"], "/b"), ([b"test/a?"], "/b"), ([b"evil", b"test"], "/a/b"), ([b"tes"], "t/a/b")],
)
async def test_host_cannot_reach_into_another_page(
    site: Any, hosts: list[bytes], path: str
) -> None:
    """A Host that is none, or two of them, leave nothing behind for the clients of a real one."""
    app = await site.instance()

    async def forged(scope: Scope, receive: Receive, send: Send) -> None:
        fields = [(b"host", host) for host in hosts]
        await app({**scope, "headers": fields}, receive, send)

    await request(forged, path)
    assert not app.cache.session.local.entries
    assert (await request(app, "/a/b")).body == b"page /a/b"


async def test_schemes_have_pages_of_their_own(site: Any) -> None:
    """A redirect from http to https is not served over https (RFC 9111, section 2)."""
    app = await site.instance()

    async def secure(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "scheme": "https"}, receive, send)

    await request(app, PAGE)
    assert "hit" not in (await request(secure, PAGE)).cache_status
