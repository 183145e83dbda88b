"""What a refresh and a failing app cost, where the shared store or credentials take part."""

from typing import Any

from asgi_isr.testing import FakeClock, request

PAGE = "/page"


async def test_refresh_does_not_take_the_page_that_it_refreshes(site: Any, until: Any) -> None:
    """A page made by a machine whose clock is ahead is refreshed nevertheless, by a render."""
    site.app.cache_control = "max-age=100, stale-while-revalidate=100"
    maker = await site.instance()
    assert "stored" in (await request(maker, PAGE)).cache_status
    await until(lambda: len(site.store) == 1)
    clock = site.clock = FakeClock(wall=site.clock.wall() - 5)
    behind = await site.instance()
    assert "detail=shared" in (await request(behind, PAGE)).cache_status
    await site.publish(PAGE, mode="soft")
    clock.advance(1)
    assert "stale-while-revalidate" in (await request(behind, PAGE)).cache_status
    await until(lambda: len(site.app.renders) == 2)


async def test_failing_app_is_asked_once_for_a_request_with_credentials(site: Any) -> None:
    """A stale page that is not for this client is no reason to hold back the app's error."""
    site.app.cache_control = "max-age=10, stale-if-error=100"
    app = await site.instance()
    await request(app, PAGE)
    site.clock.advance(20)
    site.app.status = 503
    reply = await request(app, PAGE, headers={"authorization": "somebody"})
    assert (reply.status, len(site.app.renders)) == (503, 2)
    assert "stale-if-error" in (await request(app, PAGE)).cache_status
