"""The coherence protocol, rule by rule, on the real engine over logs and stores in memory."""

import asyncio
from typing import Any

import pytest
from asgi_isr import CacheMiddleware, PageCache
from asgi_isr.coherence import encode_snapshot, snapshot_key
from asgi_isr.testing import eventually, request

PAGE = "/page"
KEY = "test/page"


async def test_render_that_straddles_an_invalidation_is_not_kept(site: Any) -> None:
    """Rule 3: a page that was overtaken while it was rendered goes out as no-store and is gone."""
    app = await site.instance()
    site.app.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        reply = tasks.create_task(request(app, PAGE))
        await site.app.started.wait()
        site.app.bodies[PAGE] = b"new"
        await site.publish(PAGE)
        site.app.gate.set()
    assert reply.result().body == b"page /page"
    assert "detail=overtaken" in reply.result().cache_status
    assert reply.result().headers["cache-control"] == "no-store"
    assert (await request(app, PAGE)).body == b"new"


async def test_waiter_takes_no_render_that_began_before_what_it_has_seen(site: Any) -> None:
    """Rule 3: a request after an invalidation does not take the result of a render before it."""
    app = await site.instance()
    site.app.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        before = tasks.create_task(request(app, PAGE))
        await site.app.started.wait()
        site.app.bodies[PAGE] = b"new"
        await site.publish(PAGE)
        after = [tasks.create_task(request(app, PAGE)) for _ in range(10)]
        await asyncio.sleep(0)
        site.app.gate.set()
    assert before.result().body == b"page /page"
    assert {b"new"} == {reply.result().body for reply in after}
    assert len(site.app.renders) == 2, "one more render for all who waited, not one each"


async def test_one_render_for_many_clients(site: Any) -> None:
    """64 clients of one page and one instance cost one render."""
    app = await site.instance()
    replies = await asyncio.gather(*(request(app, PAGE) for _ in range(64)))
    assert site.app.renders == [PAGE]
    assert sum("collapsed" in reply.cache_status for reply in replies) == 63


async def test_one_render_for_the_fleet(site: Any) -> None:
    """64 clients on two instances cost one render; the other instance takes the stored page."""
    one, two = await site.instance(), await site.instance()
    replies = await asyncio.gather(*(request(app, PAGE) for app in (one, two) for _ in range(32)))
    assert site.app.renders == [PAGE]
    assert any("detail=shared" in reply.cache_status for reply in replies)


async def test_invalidation_reaches_every_instance(site: Any) -> None:
    """After an event both instances serve the new page, from one render."""
    one, two = await site.instance(), await site.instance()
    for app in (one, two):
        await request(app, PAGE)
    site.app.bodies[PAGE] = b"new"
    seq = await site.publish(PAGE)
    replies = [await request(app, PAGE) for app in (one, two)]
    assert [reply.body for reply in replies] == [b"new", b"new"]
    assert all(f"fence={seq}" in reply.cache_status for reply in replies)
    assert len(site.app.renders) == 2


async def test_stored_page_is_judged_by_the_readers_own_index(site: Any) -> None:
    """Rule 4: what stands in the store from before an invalidation is not served after it."""
    one, two = await site.instance(), await site.instance()
    await request(one, PAGE)
    site.app.bodies[PAGE] = b"new"
    await site.publish(PAGE)
    assert (await request(two, PAGE)).body == b"new"


async def test_lease_runs_out_without_marks(site: Any) -> None:
    """Rule 8: without a mark nothing is fresh past the lease; with one again everything is."""
    site.app.cache_control = "max-age=1000, stale-while-revalidate=60"
    app = await site.instance(lease_s=0.3)
    await request(app, PAGE)
    site.log.marks_down = True
    site.clock.advance(5)
    reply = await request(app, PAGE)
    assert "detail=stale-while-revalidate" in reply.cache_status
    assert reply.headers["cache-control"] == "no-store"
    site.log.marks_down = False
    await eventually(lambda: app.cache.session.lease.until >= site.clock.monotonic(), timeout_s=5)
    assert (await request(app, PAGE)).cache_status.startswith("asgi-isr; hit; ttl=")


async def test_lost_lease_beyond_the_stale_window_renders_each_time(site: Any) -> None:
    """Rule 8: with neither lease nor a stale window every request is rendered, and no-store."""
    app = await site.instance(lease_s=0.3)
    site.log.marks_down = True
    site.clock.advance(5)
    for expected in (1, 2):
        reply = await request(app, PAGE)
        assert (expected, "no-store") == (len(site.app.renders), reply.headers["cache-control"])


async def test_recreated_log_means_one_cold_cache(site: Any) -> None:
    """Rule 7: when the log is another one, local pages and older stored pages are dropped."""
    app = await site.instance()
    await request(app, PAGE)
    site.app.bodies[PAGE] = b"new"
    site.log.recreate(5_000)
    await eventually(lambda: app.cache.session.follower.position == 4_999, timeout_s=5)
    assert (await request(app, PAGE)).body == b"new"
    assert app.cache.counters.rejoins == 2


async def test_render_across_a_rejoin_is_not_kept(site: Any) -> None:
    """A render that began under another log is good for its client alone."""
    app = await site.instance()
    site.app.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        reply = tasks.create_task(request(app, PAGE))
        await site.app.started.wait()
        rejoins = app.cache.counters.rejoins
        site.log.recreate(5_000)
        await eventually(lambda: app.cache.counters.rejoins != rejoins, timeout_s=5)
        site.app.gate.set()
    assert reply.result().headers["cache-control"] == "no-store"
    assert KEY not in app.cache.session.local.entries


async def test_log_that_lost_what_was_seen_is_noticed(site: Any) -> None:
    """Rule 7: the same sequence with another event in it is another log."""
    app = await site.instance()
    await site.publish("a")
    await site.publish("b")
    await request(app, PAGE)
    site.app.bodies[PAGE] = b"new"
    site.log.truncate(site.caches[0].session.follower.position - 2)
    for _ in range(3):
        await site.publish("c", seen=False)
    await eventually(lambda: app.cache.counters.rejoins >= 2, timeout_s=5)
    assert (await request(app, PAGE)).body == b"new"


async def test_events_during_a_broken_connection_are_caught_up(site: Any) -> None:
    """An instance that lost its link reads on from its position and keeps its pages."""
    app = await site.instance()
    await request(app, PAGE)
    await request(app, "/other")
    site.log.down = True
    await asyncio.sleep(0)
    site.log.down = False
    seq = await site.publish(PAGE, seen=False)
    assert await app.cache.applied(seq, timeout_s=5)
    assert app.cache.counters.rejoins == 1
    assert KEY not in app.cache.session.local.entries
    assert "test/other" in app.cache.session.local.entries


async def test_unreadable_event_counts_as_everything(site: Any) -> None:
    """A message that is no event is counted, and ends every page: nobody knows what it named."""
    app = await site.instance()
    await request(app, PAGE)
    seq = site.log.publish(b"\xff not json")
    assert await app.cache.applied(seq, timeout_s=2)
    assert "uri-miss" in (await request(app, PAGE)).cache_status
    assert app.cache.counters.unreadable == 1
    assert "hit" in (await request(app, PAGE)).cache_status


@pytest.mark.parametrize("mode", ["hard", "purge-harder"])
async def test_unknown_mode_counts_as_hard(site: Any, mode: str) -> None:
    """Rule 9: an event whose tags can be read is applied, an unknown mode as hard."""
    app = await site.instance()
    await request(app, PAGE)
    seq = site.log.publish(f'{{"paths":["{PAGE}"],"mode":"{mode}","new":1}}'.encode())
    assert await app.cache.applied(seq, timeout_s=2)
    assert KEY not in app.cache.session.local.entries


async def test_full_index_forgets_by_raising_its_base(site: Any) -> None:
    """Rule 5: what is forgotten is covered by the base, so older pages are rendered again."""
    app = await site.instance(index_tags_max=4)
    await request(app, PAGE)
    for number in range(6):
        await site.publish(f"tag:{number}")
    assert len(app.cache.session.index) <= 4
    assert app.cache.session.index.base > 0
    site.app.bodies[PAGE] = b"new"
    assert (await request(app, PAGE)).body == b"new"


async def test_new_instance_starts_from_the_snapshot(site: Any) -> None:
    """Rule 6: with a snapshot the past is known, so that stored pages are of use at once."""
    one = await site.instance()
    await site.publish("unrelated")
    await request(one, PAGE)
    snapshot = one.cache.session.follower.snapshot()
    data = encode_snapshot(snapshot)
    await site.store.put(snapshot_key("isr"), data, fence=snapshot.position, ttl_s=100)
    await site.publish("later")
    two = await site.instance()
    assert "detail=shared" in (await request(two, PAGE)).cache_status
    assert two.cache.counters.rejoins == 0


async def test_another_release_renders_its_own_pages(site: Any) -> None:
    """A deploy's new templates are not hidden by what the old release stored."""
    old, same, new = [await site.instance(release=release) for release in ("1", "1", "2")]
    await site.publish("unrelated")  # all stand at one position
    await request(old, PAGE)
    assert "detail=shared" in (await request(same, PAGE)).cache_status
    assert "stored" in (await request(new, PAGE)).cache_status


async def test_new_instance_without_snapshot_trusts_nothing_older(site: Any) -> None:
    """Rule 6: without a snapshot pages from before the join are rendered again."""
    one = await site.instance()
    await request(one, PAGE)
    await site.publish("unrelated")
    two = await site.instance()
    site.app.bodies[PAGE] = b"new"
    assert (await request(two, PAGE)).body == b"new"


async def test_before_joining_nothing_is_cached(site: Any) -> None:
    """An instance that never reached the log lets the app answer, and no cache may keep that."""
    site.log.down = True
    async with PageCache(log=site.log, clock=site.clock) as cache:
        reply = await request(CacheMiddleware(site.app, cache), PAGE)
        assert "detail=not-joined" in reply.cache_status
        assert reply.headers["cache-control"] == "no-store"
        assert not cache.session.follower.joined
