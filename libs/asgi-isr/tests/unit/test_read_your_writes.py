"""Read your writes: who says what it wrote gets no page older than that, from any instance."""

import asyncio
from typing import Any

import pytest
from asgi_isr import CacheMiddleware
from asgi_isr.events import Invalidation, encode
from asgi_isr.http.fields import for_one_client
from asgi_isr.testing import Reply, eventually, request

PAGE = "/page"
TAG = "rate:usd"
SOURCE = "writer"
FOR_ONE = {"cache-control": "private, no-cache", "cdn-cache-control": "no-store"}
AT_ONCE_S = 0.01  # a bound on the wait for tests in which nothing comes


def written(headers: list[tuple[bytes, bytes]]) -> tuple[str, int] | None:
    """Read `X-Written: source 7`, which nobody signed."""
    for name, value in headers:
        if name == b"x-written":
            source, number = value.decode().split()
            return source, int(number)
    return None


async def instance(site: Any, **settings: Any) -> CacheMiddleware:
    """Start an instance that reads what its clients have written."""
    app = await site.instance(**settings)
    site.app.headers[PAGE] = [(b"cache-tag", TAG.encode())]
    return CacheMiddleware(site.app, app.cache, read_your_writes=written)


def write(site: Any, number: int, *, mode: str = "hard", body: bytes = b"new") -> None:
    """Change the page, and publish it as the source's event of this number."""
    site.app.bodies[PAGE] = body
    site.log.publish(
        encode(Invalidation(tags=(TAG,), mode=mode)), source=SOURCE, source_seq=number
    )  # fmt: skip


async def ask(app: CacheMiddleware, number: int, **more: Any) -> Reply:
    """Ask for the page as the client that wrote this number."""
    fields = {"X-Written": f"{SOURCE} {number}", **more.pop("headers", {})}
    return await request(app, PAGE, headers=fields, **more)


def shown(reply: Reply) -> dict[str, str]:
    """Return what an answer says to caches beyond this one."""
    return {name: value for name, value in reply.headers.items() if name in FOR_ONE}


async def test_a_fresh_page_answers_once_the_write_is_known(site: Any) -> None:
    """An instance that has applied the write answers from memory, for this client alone."""
    app = await instance(site)
    write(site, 7)
    await site.quiet()
    assert (await request(app, PAGE)).body == b"new"
    reply = await ask(app, 7)
    assert (reply.body, len(site.app.renders)) == (b"new", 1)
    assert reply.cache_status.startswith("asgi-isr; hit")
    assert shown(reply) == FOR_ONE
    assert app.cache.counters.awaited == 0


async def test_others_notice_nothing(site: Any) -> None:
    """The fields of a page for everybody stay, also between answers to those who wrote."""
    app = await instance(site)
    write(site, 7)
    await site.quiet()
    await ask(app, 7)
    for reply in (await request(app, PAGE), (await ask(app, 7), await request(app, PAGE))[1]):
        assert reply.cache_status.startswith("asgi-isr; hit")
        assert shown(reply) == {"cache-control": "public, max-age=0, must-revalidate"}


async def test_an_instance_behind_is_waited_for(site: Any) -> None:
    """A client that comes before its event is answered when it comes, with the new page."""
    app = await instance(site, consistency_wait_s=5.0)
    await request(app, PAGE)
    async with asyncio.TaskGroup() as tasks:
        reply = tasks.create_task(ask(app, 7))
        await eventually(lambda: app.cache.counters.awaited, poll_s=0)
        write(site, 7)
    assert reply.result().body == b"new"
    assert "stored" in reply.result().cache_status
    assert (app.cache.counters.awaited, app.cache.counters.unreached) == (1, 0)


async def test_a_mark_tells_of_a_write_as_well(site: Any) -> None:
    """Any message that names a number as reached will do, not the event of that number alone."""
    app = await instance(site, consistency_wait_s=5.0)
    write(site, 9)
    assert (await ask(app, 8)).body == b"new"


async def test_the_app_answers_when_the_write_stays_unknown(site: Any) -> None:
    """After the bound it renders for this client, and what is stored lives on for others."""
    app = await instance(site, consistency_wait_s=AT_ONCE_S)
    await request(app, PAGE)
    site.app.bodies[PAGE] = b"new"
    reply = await ask(app, 7)
    assert reply.body == b"new"
    assert reply.cache_status == "asgi-isr; fwd=bypass; detail=read-your-writes"
    assert shown(reply) == {"cache-control": "no-store", "cdn-cache-control": "no-store"}
    assert (await request(app, PAGE)).body == b"page /page"
    assert app.cache.counters.unreached == 1


async def test_nobody_waits_for_another_sources_number(site: Any) -> None:
    """Numbers of one source say nothing of another one."""
    app = await instance(site, consistency_wait_s=AT_ONCE_S)
    write(site, 100)
    await site.quiet()
    reply = await request(app, PAGE, headers={"X-Written": "other 7"})
    assert "detail=read-your-writes" in reply.cache_status


async def test_unknown_writes_join_no_render(site: Any) -> None:
    """A render under way, which began before, is not waited for."""
    app = await instance(site, consistency_wait_s=AT_ONCE_S)
    site.app.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        before = tasks.create_task(request(app, PAGE))
        await site.app.started.wait()
        site.app.started.clear()
        site.app.bodies[PAGE] = b"new"
        after = tasks.create_task(ask(app, 7))
        await site.app.started.wait()
        site.app.gate.set()
    assert (before.result().body, after.result().body) == (b"page /page", b"new")


async def test_known_writes_take_no_older_render(site: Any) -> None:
    """A render that the write has overtaken is not what its client gets."""
    app = await instance(site)
    site.app.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        before = tasks.create_task(request(app, PAGE))
        await site.app.started.wait()
        write(site, 7)
        await site.quiet()
        after = tasks.create_task(ask(app, 7))
        await asyncio.sleep(0)
        site.app.gate.set()
    assert (before.result().body, after.result().body) == (b"page /page", b"new")


async def test_a_soft_event_is_enough(site: Any) -> None:
    """Others get the stale page while it is refreshed; who wrote waits for the new one."""
    app = await instance(site)
    site.app.cache_control = "max-age=100, stale-while-revalidate=100"
    await request(app, PAGE)
    write(site, 7, mode="soft")
    await site.quiet()
    mine, other = await asyncio.gather(ask(app, 7), request(app, PAGE))
    assert mine.body == b"new"
    assert (other.body, "stale-while-revalidate" in other.cache_status) == (b"page /page", True)
    assert len(site.app.renders) == 2, "both by one render"


@pytest.mark.parametrize("leased", [True, False])
async def test_a_page_that_only_time_made_stale_is_new_enough(site: Any, leased: bool) -> None:  # noqa: FBT001  a parameter
    """Lifetime and lease say nothing of the write: what was rendered after it may be served."""
    app = await instance(site, lease_s=60.0)
    site.app.cache_control = f"max-age={50 if leased else 500}, stale-while-revalidate=100"
    write(site, 7)
    await site.quiet()
    await request(app, PAGE)
    site.app.gate.clear()
    site.log.marks_down = True
    site.clock.advance(55 if leased else 65)
    reply = await ask(app, 7)
    site.app.gate.set()
    assert reply.body == b"new"
    assert "detail=stale-while-revalidate" in reply.cache_status
    assert shown(reply) == {"cache-control": "no-store", "cdn-cache-control": "no-store"}


@pytest.mark.parametrize("raises", [True, False])
async def test_no_failure_brings_an_older_page(site: Any, raises: bool) -> None:  # noqa: FBT001  a parameter
    """With the app failing others get the page that a soft event made stale, who wrote the error.

    The app is asked twice at most for it, however often it fails.
    """
    app = await instance(site)
    site.app.cache_control = "max-age=100, stale-if-error=100"
    await request(app, PAGE)
    write(site, 7, mode="soft")
    await site.quiet()
    rendered = len(site.app.renders)
    if raises:
        site.app.error = OSError("the database is away")
        with pytest.raises(OSError, match="is away"):
            await ask(app, 7)
    else:
        site.app.status = 503
        assert (await ask(app, 7)).status == 503
    assert len(site.app.renders) - rendered <= 2
    other = await request(app, PAGE)
    assert (other.status, other.body) == (200, b"page /page")
    assert "detail=stale-if-error" in other.cache_status


async def test_an_outage_leaves_pages_that_are_new_enough(site: Any) -> None:
    """With the app failing who wrote gets a page past its lifetime that has its write."""
    app = await instance(site)
    site.app.cache_control = "max-age=100, stale-if-error=1000"
    write(site, 7)
    await site.quiet()
    await request(app, PAGE)
    site.clock.advance(150)
    site.app.error = OSError("the database is away")
    reply = await ask(app, 7)
    assert (reply.body, "stale-if-error" in reply.cache_status) == (b"new", True)


async def test_a_page_of_the_store_is_judged_as_others(site: Any) -> None:
    """What stands in the store from before the write is not what its client gets, hard or soft."""
    for number, mode in ((1, "hard"), (2, "soft")):
        one = await instance(site)
        site.app.cache_control = "max-age=100, stale-while-revalidate=100"
        await request(one, PAGE)
        write(site, number, mode=mode, body=b"new %d" % number)
        two = await instance(site)
        await site.quiet()
        write(site, number + 10, mode=mode, body=b"newer %d" % number)
        assert (await ask(two, number + 10)).body == b"newer %d" % number


async def test_only_if_cached(site: Any) -> None:
    """504 while the write is unknown, the page once it is known and a page made of it is held."""
    app = await instance(site, consistency_wait_s=AT_ONCE_S)
    only = {"Cache-Control": "only-if-cached"}
    await request(app, PAGE)
    assert (await ask(app, 7, headers=only)).status == 504
    write(site, 7, mode="soft")
    await site.quiet()
    assert (await ask(app, 7, headers=only)).status == 504
    assert len(site.app.renders) == 1
    await ask(app, 7)
    assert (await ask(app, 7, headers=only)).body == b"new"


async def test_a_rejoin_forgets_what_was_reached(site: Any) -> None:
    """After a log that was recreated numbers are unknown until the next message names one."""
    app = await instance(site, consistency_wait_s=AT_ONCE_S)
    write(site, 7)
    await site.quiet()
    await ask(app, 7)
    site.log.recreate(5_000)
    write(site, 8)
    await eventually(lambda: app.cache.counters.rejoins >= 2, timeout_s=5, poll_s=0)
    assert "detail=read-your-writes" in (await ask(app, 7)).cache_status
    write(site, 9)
    assert "stored" in (await ask(app, 7)).cache_status


async def test_not_joined(site: Any) -> None:
    """Before an instance has reached the log the app answers, as it does for all."""
    app = await instance(site, consistency_wait_s=AT_ONCE_S)
    site.app.bodies[PAGE] = b"new"
    app.cache.session.follower.position = None
    reply = await ask(app, 7)
    assert (reply.body, "fwd=bypass" in reply.cache_status) == (b"new", True)


async def test_conditions_parts_and_heads(site: Any) -> None:
    """304, 206 and HEAD leave as what is for one client, too."""
    app = await instance(site)
    write(site, 7)
    whole = await ask(app, 7)
    known = await ask(app, 7, headers={"If-None-Match": whole.headers["etag"]})
    part = await ask(app, 7, headers={"Range": "bytes=0-1"})
    head = await ask(app, 7, method="HEAD")
    assert [known.status, part.status, head.status] == [304, 206, 200]
    assert (part.body, head.body) == (b"ne", b"")
    assert all(shown(reply) == FOR_ONE for reply in (whole, known, part, head))


async def test_unknown_writes_and_heads(site: Any) -> None:
    """A HEAD that the app answers alone has no body, and the app sees the method asked for."""
    app = await instance(site, consistency_wait_s=AT_ONCE_S)
    reply = await ask(app, 7, method="HEAD")
    assert (reply.status, reply.body) == (200, b"")
    assert site.app.scopes[-1]["method"] == "HEAD"


async def test_streams_are_for_one_client_as_well(site: Any) -> None:
    """What is not stored passes with the same fields, and with the app's own prohibition."""
    app = await instance(site)
    write(site, 7)
    site.app.cache_control = "no-store"
    assert shown(await ask(app, 7)) == FOR_ONE
    site.app.headers[PAGE] = [(b"cache-control", b"private, No-Store")]
    assert shown(await ask(app, 7)) == FOR_ONE | {"cache-control": "no-store"}


def test_fields_for_one_client() -> None:
    """Lifetimes of any spelling and source are replaced, nothing else is."""
    given = [
        (b"Expires", b"0"),
        (b"cache-control", b"public"),
        (b"Cache-Control", b"max-age=9"),
        (b"CDN-Cache-Control", b"max-age=9"),
        (b"etag", b'"x"'),
    ]
    expected = [
        (b"etag", b'"x"'),
        (b"cache-control", b"private, no-cache"),
        (b"cdn-cache-control", b"no-store"),
    ]
    assert for_one_client(given) == expected
    assert for_one_client(()) == expected[1:]
