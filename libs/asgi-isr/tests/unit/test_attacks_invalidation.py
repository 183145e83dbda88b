"""What a client that may write, or only tries to, can do to pages of others."""

from typing import Any

import pytest
from asgi_isr.testing import request


@pytest.mark.parametrize("path", ["/*", "/pairs/*", "/pairs/%2A", "/pairs/%252a"])
async def test_star_in_a_path_is_no_wildcard(site: Any, path: str) -> None:
    """A POST to a path that ends in a star ends that page alone, not all below."""
    app = await site.instance()
    await request(app, "/pairs/usd")
    await request(app, path, method="POST")
    assert "hit" in (await request(app, "/pairs/usd")).cache_status


@pytest.mark.parametrize("target", ["/*", "/pairs/*", "/pairs/%2a"])
async def test_star_in_a_location_is_no_wildcard(site: Any, target: str) -> None:
    """A redirect to a path that ends in a star ends that page alone, not all below."""
    site.app.headers["/login"] = [(b"location", target.encode())]
    app = await site.instance()
    await request(app, "/pairs/usd")
    await request(app, "/login", method="POST")
    assert "hit" in (await request(app, "/pairs/usd")).cache_status


@pytest.mark.parametrize("path", ["/tags/c#", "/a*b", "/a/*", "/für", "/100%", "/a/%23"])
async def test_page_at_an_odd_path_ends_with_its_change(site: Any, path: str) -> None:
    """A POST ends the page at its path at all instances, whatever characters the path holds."""
    app, other = await site.instance(shared=False), await site.instance(shared=False)
    for instance in (app, other):
        await request(instance, path)
        assert "hit" in (await request(instance, path)).cache_status
    await request(app, path, method="POST")
    assert await site.caches[1].follower.wait_for((await site.log.bounds()).last, 5.0)
    for instance in (app, other):
        assert "uri-miss" in (await request(instance, path)).cache_status


async def test_method_as_long_as_a_novel_is_announced(site: Any) -> None:
    """However long its method, an unsafe request that succeeds is announced to all."""
    app = await site.instance()
    await request(app, "/a", method="X" * 3000)
    assert site.caches[0].counters.unsafe == 1
    assert site.caches[0].counters.unannounced == 0
