"""Litestar routes behind the cache: fields, tags of path parameters, layers, lifespan, OpenAPI."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgi_isr import CacheMiddleware, PageCache
from asgi_isr.frameworks.litestar import BROWSER, cached
from asgi_isr.logs import MemoryLog
from asgi_isr.testing import FakeClock, invalidate, ready, request
from litestar import Litestar, Response, get
from litestar.datastructures import CacheControlHeader
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.params import FromPath, FromQuery


def product_tags(number: int) -> tuple[str, ...]:
    """Return what a product's page depends on."""
    return (f"product:{number}", "catalogue")


def app_of(*handlers: Any, **options: Any) -> Any:
    """Return an app, as `Any`: Litestar's types of messages are narrower than ASGI's."""
    return Litestar(handlers, openapi_config=None, **options)


PRODUCT = cached(
    60,
    stale_while_revalidate_s=30,
    stale_if_error_s=86_400,
    tags=product_tags,
    groups=("shop", 'of "all"'),
    vary=("Accept-Language",),
)
FIELDS = {
    "cdn-cache-control": "s-maxage=60, stale-while-revalidate=30, stale-if-error=86400",
    "cache-control": BROWSER,
    "cache-tag": "product:42, catalogue",
    "cache-groups": '"shop", "of \\"all\\""',
    "vary": "Accept-Language",
}


@get("/products/{number:int}", middleware=[PRODUCT])
async def product(number: FromPath[int], currency: FromQuery[str] = "USD") -> dict[str, Any]:
    """Return a product."""
    if number == 404:
        raise NotFoundException
    if number == 401:
        raise NotAuthorizedException
    return {"number": number, "currency": currency}


async def test_route_says_all_in_standard_fields() -> None:
    """Lifetime, tags of the path parameters, groups and Vary go out with the answer."""
    reply = await request(app_of(product), "/products/42")
    assert (reply.status, reply.body) == (200, b'{"number":42,"currency":"USD"}')
    assert {name: reply.headers[name] for name in FIELDS} == FIELDS


async def test_page_that_is_not_there_carries_the_tags_of_what_would_change_it() -> None:
    """A 404 is kept as the page would be; another error says nothing of a lifetime."""
    app = app_of(product)
    missing = await request(app, "/products/404")
    assert (missing.status, missing.headers["cache-tag"]) == (404, "product:404, catalogue")
    refused = await request(app, "/products/401")
    assert refused.status == 401
    assert not FIELDS.keys() & refused.headers.keys()


@pytest.mark.parametrize(
    "given",
    [
        {"Cache-Control": "no-store"},
        {"Cache-Control": "private, max-age=5"},
        {"Cache-Control": "no-cache"},
        {"CDN-Cache-Control": "max-age=1"},
    ],
    ids=str,
)
async def test_handler_has_the_last_word(given: dict[str, str]) -> None:
    """What the handler forbids to store, or says itself about it, stays as it said."""

    @get("/", middleware=[cached(60, tags=("a",))])
    async def page() -> Response[str]:
        return Response("page", headers=given)

    reply = await request(app_of(page), "/")
    for name, value in given.items():
        assert reply.values(name) == [value]
    assert "cache-tag" not in reply.headers


async def test_fields_of_the_handler_are_kept_and_joined() -> None:
    """Browsers get the Cache-Control that the route has; lists are added to."""

    @get(
        "/",
        middleware=[cached(60, tags=("a",), vary=("Accept-Language",))],
        cache_control=CacheControlHeader(max_age=5, public=True),
    )
    async def page() -> Response[str]:
        return Response("page", headers={"Cache-Tag": "b", "Vary": "Accept"})

    reply = await request(app_of(page), "/")
    assert reply.values("cache-control") == ["max-age=5, public"]
    assert reply.values("cache-tag") == ["b", "a"]
    assert reply.values("vary") == ["Accept", "Accept-Language"]
    assert reply.headers["cdn-cache-control"] == "s-maxage=60"


async def test_inner_layer_has_the_last_word() -> None:
    """A route says more exactly what the app says for all its routes."""

    @get("/own", middleware=[cached(5)])
    async def own() -> str:
        return "own"

    @get("/common")
    async def common() -> str:
        return "common"

    app = Litestar([own, common], middleware=[cached(60)], openapi_config=None)
    for path, lifetime in (("/own", "s-maxage=5"), ("/common", "s-maxage=60")):
        assert (await request(app, path)).values("cdn-cache-control") == [lifetime]


async def test_path_parameter_that_makes_no_tag_is_not_stored() -> None:
    """A client cannot write a second tag, or a header field, into a page that is kept."""

    def tags(slug: str) -> tuple[str, ...]:
        return (f"slug:{slug}",)

    @get("/{slug:str}", middleware=[cached(60, tags=tags)])
    async def page(slug: FromPath[str]) -> str:
        return slug

    app = app_of(page)
    for path in ("/a,currency:usd", "/a b", "/a\r\nx: y", "/ä"):
        reply = await request(app, path)
        assert (reply.status, reply.headers["cdn-cache-control"]) == (200, "no-store")
        assert "cache-tag" not in reply.headers
    assert (await request(app, "/a")).headers["cache-tag"] == "slug:a"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"ttl_s": 0}, "ttl_s"),
        ({"ttl_s": 1, "stale_if_error_s": -1}, "below"),
        ({"ttl_s": 1, "tags": ("a b",)}, "'a b'"),
        ({"ttl_s": 1, "groups": ("ä",)}, "'ä'"),
    ],
)
def test_mistakes_are_found_when_the_route_is_written(
    arguments: dict[str, Any], named: str
) -> None:
    """No lifetime, a negative time, and a constant that is no tag or group are refused at once."""
    with pytest.raises(ValueError, match=named):
        cached(**arguments)


def test_handler_and_openapi_stay_as_they_are() -> None:
    """Parameters and responses of the schema are those of the route without the middleware."""

    @get("/products/{number:int}", operation_id="product")
    async def plain(number: FromPath[int], currency: FromQuery[str] = "USD") -> dict[str, Any]:
        """Return a product."""
        return {"number": number, "currency": currency}

    @get("/products/{number:int}", operation_id="product", middleware=[PRODUCT])
    async def kept(number: FromPath[int], currency: FromQuery[str] = "USD") -> dict[str, Any]:
        """Return a product."""
        return {"number": number, "currency": currency}

    with_fields, without = (
        Litestar([handler]).openapi_schema.to_schema()["paths"] for handler in (kept, plain)
    )
    named = {"summary", "operationId"}  # made of the handler's name
    assert {**with_fields["/products/{number}"]["get"]} | dict.fromkeys(named) == {
        **without["/products/{number}"]["get"]
    } | dict.fromkeys(named)


async def test_app_behind_the_cache_lives_with_its_lifespan() -> None:
    """The cache opens before the app starts and closes after it; pages go when an event says so."""
    log, life = MemoryLog(), list[str]()

    @get("/products/{number:int}", middleware=[cached(60, tags=product_tags)])
    async def product(number: FromPath[int]) -> int:
        return number

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        life.append("start")
        yield
        life.append("stop")

    cache = PageCache(log=log, clock=FakeClock())
    app = CacheMiddleware(app_of(product, lifespan=[lifespan]), cache)
    started, stop, stopped = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not started.is_set():
            return {"type": "lifespan.startup"}
        await stop.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: Any) -> None:
        (started if message["type"] == "lifespan.startup.complete" else stopped).set()

    scope: Any = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(app(scope, receive, send))
        await started.wait()
        await ready(cache)
        await request(app, "/products/42")
        assert "hit" in (await request(app, "/products/42")).cache_status
        await invalidate(log, cache, tags=("product:42",))
        assert "hit" not in (await request(app, "/products/42")).cache_status
        assert life == ["start"]
        stop.set()
    assert stopped.is_set()
    assert life == ["start", "stop"]
