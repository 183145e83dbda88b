"""For Litestar: a route says for how long its page is kept, and under which tags.

    def product_tags(number: int) -> tuple[str, ...]:
        return (f"product:{number}",)

    @get("/products/{number:int}", middleware=[cached(60, tags=product_tags)])
    async def product(number: int) -> Product: ...

It is middleware of the route, so that signature, dependencies and OpenAPI of the handler stay as
they are, and it sets header fields, no more: the cache obeys those. The whole app is put behind the
cache by `CacheMiddleware(app, cache)`, which opens and closes the cache with Litestar's lifespan.
"""

import logging
from collections.abc import Callable, Iterable

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPResponseStartEvent, Message, Receive, Scope, Send

from asgi_isr.http.cache_control import cache_control
from asgi_isr.http.fields import CACHE_TAG, TARGETED
from asgi_isr.http.groups import CACHE_GROUPS
from asgi_isr.keys import tag_problem

__all__ = ["BROWSER", "Tags", "cached"]

logger = logging.getLogger(__name__)

BROWSER = "public, max-age=0, must-revalidate"
"""What browsers are told: ask each time, which a 304 answers. No invalidation reaches them."""

Tags = tuple[str, ...] | Callable[..., tuple[str, ...]]
"""Tags, or what makes them of the route's path parameters, given by name."""

_ERROR_MIN = 400
_TAGGED_ERRORS = frozenset({404, 410})  # a page that is not there is one that may come
_REFUSALS = ("no-store", "private", "no-cache")
_NOT_STORED = [(TARGETED, b"no-store")]

_Fields = list[tuple[bytes, bytes]]


def cached(
    ttl_s: int,
    *,
    stale_while_revalidate_s: int = 0,
    stale_if_error_s: int = 0,
    tags: Tags = (),
    groups: Iterable[str] = (),
    vary: Iterable[str] = (),
    browser: str = BROWSER,
) -> Callable[[ASGIApp], ASGIApp]:
    """Return middleware for a route (or controller, router, app) whose responses are to be kept.

    It sets `CDN-Cache-Control` of `ttl_s` and the two stale times (whole seconds; RFC 9213, RFC
    5861), `Cache-Control` of `browser` unless the response has one, and adds `Cache-Tag` of `tags`,
    `Cache-Groups` of `groups` (RFC 9875) and `Vary` of `vary`. Responses stay as they are that have
    a `CDN-Cache-Control`, that say `no-store`, `private` or `no-cache`, and errors but 404 and 410.
    Where `tags` makes a tag that is not valid of a path parameter, that page is not stored.

    Raises `ValueError` for a time below zero, no lifetime, or a constant tag that is not valid.
    """
    times = {
        "s-maxage": ttl_s,
        "stale-while-revalidate": stale_while_revalidate_s,
        "stale-if-error": stale_if_error_s,
    }
    if ttl_s <= 0 or min(times.values()) < 0:
        raise ValueError("ttl_s must be above 0, and no other time below 0")
    if not callable(tags):
        _check(tags)
    lists: dict[bytes, Iterable[str]] = {
        TARGETED: (f"{name}={seconds}" for name, seconds in times.items() if seconds),
        CACHE_GROUPS: map(_quoted, groups),
        b"vary": vary,
    }
    joined = ((name, ", ".join(members)) for name, members in lists.items())
    fields = [(name, value.encode("ascii")) for name, value in joined if value]
    for_browsers = (b"cache-control", browser.encode("latin-1"))

    def middleware(app: ASGIApp) -> ASGIApp:
        async def with_fields(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP:
                await app(scope, receive, send)
                return
            made = tags(**scope["path_params"]) if callable(tags) else tags
            added = _with_tags(fields, made)

            async def send_with_fields(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _add(message, added, for_browsers)
                await send(message)

            await app(scope, receive, send_with_fields)

        return with_fields

    return middleware


def _check(tags: tuple[str, ...]) -> None:
    for tag in tags:
        if problem := tag_problem(tag):
            raise ValueError(f"tags: {tag!r} {problem}")


def _with_tags(fields: _Fields, tags: tuple[str, ...]) -> _Fields:
    try:
        _check(tags)
    except ValueError as error:
        # A client wrote it into a path. A page without one of its tags must not be kept.
        logger.info("not stored: %s", error)
        return _NOT_STORED
    return [*fields, (CACHE_TAG, ", ".join(tags).encode())] if tags else fields


def _add(
    message: HTTPResponseStartEvent, added: _Fields, for_browsers: tuple[bytes, bytes]
) -> None:
    """Add the fields to a response that is to be kept."""
    status = message["status"]
    given = [(name.lower(), value) for name, value in message["headers"]]
    names = {name for name, _ in given}
    if TARGETED in names or not (status < _ERROR_MIN or status in _TAGGED_ERRORS):
        return
    said = cache_control(
        value.decode("latin-1") for name, value in given if name == b"cache-control"
    )
    if any(refusal in said for refusal in _REFUSALS):
        return
    browsers = [] if b"cache-control" in names else [for_browsers]
    message["headers"] = [*given, *browsers, *added]


def _quoted(group: str) -> str:
    """Return a group as a String of a structured field (RFC 9651, section 3.3.3)."""
    if not group.isascii() or not group.isprintable():
        raise ValueError(f"groups: {group!r} has characters other than printable ASCII")
    escaped = group.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
