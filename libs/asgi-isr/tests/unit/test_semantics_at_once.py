"""What requests that come at the same time get, of one render or of one that is overtaken."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from asgi_isr.events import Invalidation, encode
from asgi_isr.logs import MemoryLog
from asgi_isr.ports import LogMessage
from asgi_isr.testing import Reply, eventually, request
from asgi_isr.types import Receive, Scope, Send

PAGE = "/page"
USER = {"Authorization": "Basic dTpw"}
CLIENTS = 64

Answer = tuple[int, dict[str, str], str]


class GatedApp:
    """Answers as `answer` says of the request's fields when it came, once the gate is open."""

    def __init__(self, answer: Callable[[dict[str, str]], Answer]) -> None:
        self.answer = answer
        self.asked: list[dict[str, str]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; those that are not safe at once."""
        fields = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append(fields)
        await receive()
        status, headers, body = self.answer(fields)
        if scope["method"] in {"GET", "HEAD"}:
            await self.gate.wait()
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": encoded})
        await send({"type": "http.response.body", "body": body.encode()})

    def saying(self, status: int, body: str, **headers: str) -> None:
        """Answer everything so from now on."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer = lambda _: (status, named, body)


def saying(status: int, body: str, **headers: str) -> GatedApp:
    """Return an app that answers everything so."""
    app = GatedApp(lambda _: (status, {}, body))
    app.saying(status, body, **headers)
    return app


async def turns() -> None:
    """Let every request that can go on do so: nothing here waits for time."""
    for _ in range(200):
        await asyncio.sleep(0)


async def at_once(app: GatedApp, *asking: Any) -> list[Reply]:
    """Send requests that all wait for the app before it answers one of them."""
    app.gate.clear()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        sent = [tasks.create_task(one) for one in asking]
        await turns()
        app.gate.set()
    return [one.result() for one in sent]


async def test_a_page_that_varies_is_rendered_once_for_each_variant(site: Any) -> None:
    """Of 64 clients with two values all get theirs, by two renders; so do those elsewhere."""
    app = GatedApp(lambda asked: (200, {"cache-control": "max-age=60", "vary": "X"}, asked["x"]))
    site.app = app
    one, other = await site.instance(), await site.instance()
    for instance in (one, other):
        asking = (request(instance, PAGE, headers={"X": str(n % 2)}) for n in range(CLIENTS))
        replies = await at_once(app, *asking)
        assert [reply.body for reply in replies] == [b"0", b"1"] * (CLIENTS // 2)
        assert len(app.asked) == 2
        await site.quiet()


@pytest.mark.parametrize(
    "line",
    ["max-age=60, no-cache", "max-age=0", "no-cache", "max-age=0, stale-if-error=60"],
)
@pytest.mark.parametrize("etag", ['"a"', ""])
async def test_a_page_to_be_asked_for_is_for_one_request_alone(
    site: Any, line: str, etag: str
) -> None:
    """Where each use needs the app's word, as many requests reach it as came."""
    site.app = app = saying(200, "one", cache_control=line, **({"etag": etag} if etag else {}))
    instance = await site.instance()
    replies = await at_once(app, *(request(instance, PAGE) for _ in range(8)))
    assert len(app.asked) == 8
    assert not any("collapsed" in reply.cache_status for reply in replies)
    assert {reply.body for reply in replies} == {b"one"}


async def test_a_page_that_may_be_served_stale_is_shared(site: Any) -> None:
    """With `stale-while-revalidate` a page whose life is over at once is for all who wait."""
    site.app = app = saying(200, "one", cache_control="max-age=0, stale-while-revalidate=60")
    instance = await site.instance()
    await at_once(app, *(request(instance, PAGE) for _ in range(8)))
    assert len(app.asked) == 1


@pytest.mark.parametrize("line", ["max-age=60", "max-age=60, public"])
async def test_requests_with_credentials_share_no_render(site: Any, line: str) -> None:
    """They join nobody, nobody joins them, and nobody gets their page unless it is public."""

    def answer(asked: dict[str, str]) -> Answer:
        return 200, {"cache-control": line}, asked.get("authorization", "anybody")

    site.app = app = GatedApp(answer)
    instance = await site.instance()
    asking = [request(instance, PAGE, headers=USER), *(request(instance, PAGE) for _ in range(4)),
              request(instance, PAGE, headers={"Authorization": "Basic b3RoZXI6"})]  # fmt: skip
    replies = await at_once(app, *asking)
    bodies = [reply.body for reply in replies]
    assert bodies == [b"Basic dTpw", *[b"anybody"] * 4, b"Basic b3RoZXI6"]
    assert len(app.asked) == 3


async def test_head_and_get_share_a_render(site: Any) -> None:
    """HEAD waits for the same page as GET, and gets it without its body."""
    site.app = app = saying(200, "one", cache_control="max-age=60")
    instance = await site.instance()
    head, get = await at_once(app, request(instance, PAGE, method="HEAD"), request(instance, PAGE))
    assert (head.body, get.body, len(app.asked)) == (b"", b"one", 1)
    assert head.headers["content-length"] == "3"


async def test_a_confirmed_page_is_for_all_who_wait(site: Any) -> None:
    """One 304 of the app answers everybody who asked for the stale page."""
    site.app = app = saying(200, "one", cache_control="max-age=5", etag='"a"')
    instance = await site.instance()
    await request(instance, PAGE)
    app.saying(304, "")
    site.clock.advance(9)
    replies = await at_once(app, *(request(instance, PAGE) for _ in range(8)))
    assert [reply.body for reply in replies] == [b"one"] * 8
    assert len(app.asked) == 2


@pytest.mark.parametrize("line", ["private", "no-store"])
async def test_a_page_confirmed_as_private_is_for_one_alone(site: Any, line: str) -> None:
    """A 304 that forbids to store the page answers the request that had it asked, and no other."""
    site.app = app = saying(200, "one", cache_control="max-age=5", etag='"a"')
    instance = await site.instance(shared=False)
    await request(instance, PAGE)

    def answer(asked: dict[str, str]) -> Answer:
        return (304 if "if-none-match" in asked else 200), {"cache-control": line}, ""

    app.answer = answer
    site.clock.advance(9)
    replies = await at_once(app, *(request(instance, PAGE) for _ in range(8)))
    assert len(app.asked) == 1 + 8
    assert {reply.headers["cache-control"] for reply in replies} == {line}
    assert not any("stored" in reply.cache_status for reply in replies)


async def test_a_304_for_another_page_is_asked_again_for_all(site: Any) -> None:
    """A 304 with another ETag confirms nothing: one more render answers all who wait."""
    site.app = app = saying(200, "one", cache_control="max-age=5", etag='"a"')
    instance = await site.instance()
    await request(instance, PAGE)

    def answer(asked: dict[str, str]) -> Answer:
        status = 304 if "if-none-match" in asked else 200
        return status, {"cache-control": "max-age=5", "etag": '"b"'}, "" if status == 304 else "two"

    app.answer = answer
    site.clock.advance(9)
    replies = await at_once(app, *(request(instance, PAGE) for _ in range(8)))
    assert [reply.body for reply in replies] == [b"two"] * 8
    assert ["if-none-match" in asked for asked in app.asked] == [False, True, False]


async def test_hard_invalidation_during_a_validation(site: Any) -> None:
    """The old body is not used although the app confirmed it, for it had not seen the change."""
    site.app = app = saying(200, "one", cache_control="max-age=5", etag='"a"')
    instance = await site.instance()
    await request(instance, PAGE)
    app.saying(304, "")
    site.clock.advance(9)
    app.gate.clear()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(request(instance, PAGE))
        await turns()
        await site.publish(PAGE)
        app.saying(200, "two", cache_control="max-age=5", etag='"b"')
        app.gate.set()
    assert waiting.result().body == b"two"
    assert ["if-none-match" in asked for asked in app.asked] == [False, True, False]
    assert (await request(instance, PAGE)).body == b"two"


async def test_soft_invalidation_during_a_validation(site: Any) -> None:
    """The fence is that of the validation: the page is not kept as one that knows of the change."""
    site.app = app = saying(200, "one", cache_control="max-age=5", etag='"a"')
    instance = await site.instance()
    await request(instance, PAGE)
    app.saying(304, "")
    site.clock.advance(9)
    app.gate.clear()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(request(instance, PAGE))
        await turns()
        seq = await site.publish(PAGE, mode="soft")
        app.gate.set()
    reply = waiting.result()
    assert (reply.body, reply.headers["cache-control"]) == (b"one", "no-store")
    assert "detail=overtaken" in reply.cache_status
    again = await request(instance, PAGE)
    assert len(app.asked) == 3
    assert f"fence={seq}" in again.cache_status
    assert "hit" in (await request(instance, PAGE)).cache_status


@pytest.mark.parametrize("log_down", [False, True], ids=["log-up", "log-down"])
async def test_a_change_during_a_render_here(site: Any, log_down: bool) -> None:  # noqa: FBT001
    """What was rendered before a change is not kept, and not given to who came after it."""
    site.app = app = saying(200, "one", cache_control="max-age=60")
    instance = await site.instance()
    app.gate.clear()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        before = tasks.create_task(request(instance, PAGE))
        await turns()
        app.saying(200, "two", cache_control="max-age=60")
        site.log.down = log_down
        # The event is on its way while the next ones ask: position stays for some turns.
        await request(instance, PAGE, method="POST")
        after = [tasks.create_task(request(instance, PAGE)) for _ in range(8)]
        await asyncio.sleep(0)
        app.gate.set()
    assert before.result().body == b"one"
    assert before.result().headers["cache-control"] == "no-store"
    assert [one.result().body for one in after] == [b"two"] * 8
    assert (await request(instance, PAGE)).body == b"two"
    renders = len(app.asked) - 1
    assert renders <= (
        3 if not log_down else 4
    )  # the old one, one for all after it, perhaps a last
    assert instance.cache.counters.unannounced == int(log_down)


async def test_pages_are_kept_again_after_a_change_without_the_log(site: Any) -> None:
    """From the next mark on what was changed while the log was down is stored again."""
    site.app = app = saying(200, "one", cache_control="max-age=60")
    instance = await site.instance(lease_s=0.3)  # a mark every 0.1 s
    await request(instance, PAGE)
    site.log.down = True
    app.saying(200, "two", cache_control="max-age=60")
    await request(instance, PAGE, method="DELETE")
    assert (await request(instance, PAGE)).body == b"two"
    site.log.down = False

    async def holds() -> bool:
        return "hit" in (await request(instance, PAGE)).cache_status

    await eventually(holds, timeout_s=10)
    assert instance.cache.counters.unannounced == 1


async def test_a_change_during_a_render_elsewhere(site: Any) -> None:
    """A render under way at another instance is not kept once the change is known there."""
    site.app = app = saying(200, "one", cache_control="max-age=60")
    here, elsewhere = await site.instance(), await site.instance()
    app.gate.clear()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        before = tasks.create_task(request(elsewhere, PAGE))
        await turns()
        app.saying(200, "two", cache_control="max-age=60")
        await request(here, PAGE, method="PUT")
        await site.quiet()
        after = tasks.create_task(request(elsewhere, PAGE))
        await turns()
        app.gate.set()
    assert (before.result().body, after.result().body) == (b"one", b"two")
    assert "detail=overtaken" in before.result().cache_status
    for instance in (here, elsewhere):
        assert (await request(instance, PAGE)).body == b"two"


class HeldLog:
    """A log whose reader hears of nothing while `gate` is closed; what is published gets there."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.gate = asyncio.Event()
        self.gate.set()
        self.bounds, self.stamp, self.mark = log.bounds, log.stamp, log.mark
        self.announce, self.close = log.announce, log.close
        self.register, self.report, self.popular = log.register, log.report, log.popular

    async def read(self, after: int) -> AsyncGenerator[Sequence[LogMessage], None]:
        """Yield batches once the gate is open."""
        async with aclosing(self._log.read(after)) as batches:
            async for batch in batches:
                await self.gate.wait()
                yield batch


async def test_a_change_at_an_instance_that_lags(site: Any) -> None:
    """It takes no page from the store that was rendered before its change, whatever its fence."""
    site.app = app = saying(200, "one", cache_control="max-age=60")
    ahead = await site.instance()
    log, site.log = site.log, HeldLog(site.log)
    lagging = await site.instance()
    site.log.gate.clear()
    noise = [log.publish(encode(Invalidation(paths=(PAGE,)))) for _ in range(5)]
    assert await ahead.cache.applied(noise[-1], timeout_s=5.0)
    assert (await request(ahead, PAGE)).body == b"one"
    await eventually(lambda: not ahead.cache.session.renders._flying)
    app.saying(200, "two", cache_control="max-age=60")
    await request(lagging, PAGE, method="POST")
    assert (await request(lagging, PAGE)).body == b"two"
    site.log.gate.set()
    await site.quiet()
    assert (await request(lagging, PAGE)).body == b"two"
    assert "hit" in (await request(lagging, PAGE)).cache_status


async def test_a_change_during_a_refresh(site: Any) -> None:
    """A stale page is not served after a change, nor what a refresh had begun to render before."""
    line = "max-age=5, stale-while-revalidate=60"
    site.app = app = saying(200, "one", cache_control=line)
    instance = await site.instance()
    await request(instance, PAGE)
    site.clock.advance(9)
    app.gate.clear()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        stale = await request(instance, PAGE)
        await turns()
        app.saying(200, "two", cache_control=line)
        await request(instance, PAGE, method="POST")
        after = tasks.create_task(request(instance, PAGE))
        await asyncio.sleep(0)
        app.gate.set()
    assert (stale.body, after.result().body) == (b"one", b"two")
    assert (await request(instance, PAGE)).body == b"two"
