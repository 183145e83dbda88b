"""What becomes of a page: miss, hit, stale, invalidated, and what it is answered with."""

from typing import Any

import pytest
from asgi_isr.testing import eventually, request

PAGE = "/pairs/usd/eur"
PAGE_KEY = "test" + PAGE


async def test_second_request_is_a_hit(site: Any) -> None:
    """The first request renders and stores, the second is answered from memory."""
    app = await site.instance()
    first = await request(app, PAGE)
    second = await request(app, PAGE)
    assert "fwd=uri-miss; stored" in first.cache_status
    assert second.cache_status.startswith("asgi-isr; hit; ttl=")
    assert site.app.renders == [PAGE]
    assert first.body == second.body == b"page /pairs/usd/eur"


async def test_render_tells_its_timing_once(site: Any) -> None:
    """`Server-Timing` of a render reaches the client that had it made, and no later one."""
    site.app.headers[PAGE] = [(b"server-timing", b"api;dur=1.5")]
    app = await site.instance()
    assert (await request(app, PAGE)).headers["server-timing"] == "api;dur=1.5"
    assert "server-timing" not in (await request(app, PAGE)).headers


async def test_hit_tells_age_and_time_left(site: Any) -> None:
    """A hit's Age is the time since the render, its ttl what is left of the lifetime."""
    app = await site.instance()
    await request(app, PAGE)
    site.clock.advance(10)
    reply = await request(app, PAGE)
    assert reply.headers["age"] == "10"
    assert "ttl=90" in reply.cache_status


async def test_validator_gives_304(site: Any) -> None:
    """A client that holds the page gets 304 without a body, and the same validator."""
    app = await site.instance()
    etag = (await request(app, PAGE)).headers["etag"]
    for sent in (etag, f'"other", W/{etag}', "*"):
        reply = await request(app, PAGE, headers={"If-None-Match": sent})
        assert (304, b"", etag) == (reply.status, reply.body, reply.headers["etag"])
        assert "content-length" not in reply.headers
    assert (await request(app, PAGE, headers={"If-None-Match": '"other"'})).status == 200


async def test_first_request_with_a_validator_gives_304(site: Any) -> None:
    """A miss whose render equals what the client holds is answered with 304 as well."""
    one = await site.instance(shared=False)
    etag = (await request(one, PAGE)).headers["etag"]
    other = await site.instance(shared=False)
    reply = await request(other, PAGE, headers={"If-None-Match": etag})
    assert (reply.status, reply.body) == (304, b"")


async def test_head_is_answered_from_the_page(site: Any) -> None:
    """HEAD renders as GET would, and is answered without the body but with its length."""
    app = await site.instance()
    miss = await request(app, PAGE, method="HEAD")
    hit = await request(app, PAGE, method="HEAD")
    assert (miss.body, hit.body) == (b"", b"")
    assert miss.headers["content-length"] == hit.headers["content-length"] == "19"
    assert site.app.renders == [PAGE]


@pytest.mark.parametrize("name", ["currency:usd", "Currency:USD", PAGE, "/pairs/usd/*", "/*", "*"])
async def test_hard_invalidation_ends_a_page(site: Any, name: str) -> None:
    """A hard invalidation by tag, path, prefix or of everything has the page rendered again."""
    site.app.headers[PAGE] = [(b"cache-tag", b"currency:usd, currency:eur")]
    app = await site.instance()
    await request(app, PAGE)
    site.app.bodies[PAGE] = b"new"
    seq = await site.publish(name)
    reply = await request(app, PAGE)
    assert reply.body == b"new"
    assert f"fence={seq}" in reply.cache_status


@pytest.mark.parametrize("name", ["currency:jpy", "/pairs/usd", "/pairs/*/eur", "/pairs/eur/*"])
async def test_invalidation_of_something_else_leaves_a_page(site: Any, name: str) -> None:
    """A page that does not carry the tag stays a hit."""
    site.app.headers[PAGE] = [(b"cache-tag", b"currency:usd")]
    app = await site.instance()
    await request(app, PAGE)
    await site.publish(name)
    assert "hit" in (await request(app, PAGE)).cache_status


async def test_soft_invalidation_serves_stale_once_refreshed(site: Any) -> None:
    """After a soft invalidation the old page is served, marked and no-store, until refreshed."""
    site.app.cache_control = "max-age=100, stale-while-revalidate=60"
    app = await site.instance()
    await request(app, PAGE)
    site.app.bodies[PAGE] = b"new"
    await site.publish(PAGE, mode="soft")
    stale = await request(app, PAGE)
    assert stale.body == b"page /pairs/usd/eur"
    assert "detail=stale-while-revalidate" in stale.cache_status
    assert stale.headers["cache-control"] == "no-store"
    await eventually(
        lambda: len(site.app.renders) == 2 and not app.cache.session.renders.under_way(PAGE_KEY)
    )
    fresh = await request(app, PAGE)
    assert fresh.body == b"new"


async def test_soft_never_weakens_hard(site: Any) -> None:
    """A soft invalidation after a hard one does not bring the page back."""
    site.app.cache_control = "max-age=100, stale-while-revalidate=60"
    app = await site.instance()
    await request(app, PAGE)
    site.app.bodies[PAGE] = b"new"
    await site.publish(PAGE)
    await site.publish(PAGE, mode="soft")
    assert (await request(app, PAGE)).body == b"new"


async def test_lifetime_ends(site: Any) -> None:
    """Past its lifetime a page is served stale while it is refreshed, then rendered in front."""
    site.app.cache_control = "max-age=100, stale-while-revalidate=60"
    app = await site.instance(lease_s=10_000)
    await request(app, PAGE)
    site.clock.advance(101)
    assert "stale-while-revalidate" in (await request(app, PAGE)).cache_status
    await eventually(
        lambda: len(site.app.renders) == 2 and not app.cache.session.renders.under_way(PAGE_KEY)
    )
    assert "hit; ttl=100" in (await request(app, PAGE)).cache_status
    site.clock.advance(161)
    assert "fwd=" in (await request(app, PAGE)).cache_status


async def test_stale_if_error_when_the_app_fails(site: Any) -> None:
    """A page past its lifetime is served when the app fails with an exception or a 5xx."""
    site.app.cache_control = "max-age=100, stale-if-error=1000"
    app = await site.instance(lease_s=10_000)
    await request(app, PAGE)
    site.clock.advance(200)
    site.app.status = 503
    assert "detail=stale-if-error" in (await request(app, PAGE)).cache_status
    site.app.error = OSError("down")
    reply = await request(app, PAGE)
    assert "detail=stale-if-error" in reply.cache_status
    assert (reply.status, reply.headers["cache-control"]) == (200, "no-store")


async def test_hard_invalidated_page_is_never_served_on_error(site: Any) -> None:
    """When the app fails after a hard invalidation the client gets the error, not the old page."""
    site.app.cache_control = "max-age=100, stale-if-error=1000"
    app = await site.instance()
    await request(app, PAGE)
    await site.publish(PAGE)
    site.app.status = 503
    assert (await request(app, PAGE)).status == 503


async def test_app_error_reaches_the_client(site: Any) -> None:
    """Without a page to fall back on the app's exception goes on to the server."""
    app = await site.instance()
    site.app.error = OSError("down")
    with pytest.raises(OSError, match="down"):
        await request(app, PAGE)
    site.app.error = None
    assert (await request(app, PAGE)).status == 200


async def test_slow_app_gets_504(site: Any) -> None:
    """A render beyond its time limit is cut off and answered with 504, not stored."""
    app = await site.instance(render_timeout_s=0.01)
    site.app.gate.clear()
    reply = await request(app, PAGE)
    assert (reply.status, reply.headers["cache-control"]) == (504, "no-store")
    site.app.gate.set()
    assert (await request(app, PAGE)).status == 200
