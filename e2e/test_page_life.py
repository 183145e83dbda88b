"""A page's life on two instances: miss, hit, 304, stale, invalidated, rewritten by a change."""

import signal
from typing import Any

import pytest

DAY = "2026-10-30"  # the latest day of the data
PAIR = "/pairs/USD/SEK"
PAGES = ["/", "/currencies/USD", PAIR, f"/days/{DAY}", "/years/2026"]


@pytest.mark.parametrize("path", PAGES)
def test_each_kind_of_page_is_a_hit_the_second_time(
    stack: Any, cache_status: Any, path: str
) -> None:
    """After an invalidation the first request stores the page, the second is a hit, the same."""
    stack.invalidate(path)
    first, second = stack.page(path), stack.page(path)
    assert (first.status_code, second.status_code) == (200, 200)
    assert "stored" in cache_status(first)
    assert "hit" in cache_status(second)
    assert first.content == second.content
    assert "text/html" in second.headers["content-type"]


@pytest.mark.parametrize("path", PAGES)
def test_page_that_the_client_holds_is_304(stack: Any, path: str) -> None:
    """`If-None-Match` with the page's ETag costs no body, identity and gzip alike."""
    for coding in ("identity", "gzip"):
        etag = stack.page(path, accept_encoding=coding).headers["etag"]
        reply = stack.page(path, accept_encoding=coding, if_none_match=etag)
        assert (304, b"", etag) == (reply.status_code, reply.content, reply.headers["etag"])


@pytest.mark.parametrize("path", PAGES)
def test_ssr_page_is_rendered_each_time(stack: Any, cache_status: Any, path: str) -> None:
    """Below /ssr the same page is rendered for every request and kept by nobody."""
    for _ in range(2):
        reply = stack.page(f"/ssr{path}" if path != "/" else "/ssr/")
        assert reply.status_code == 200
        assert "hit" not in cache_status(reply)
        assert reply.headers["cache-control"] == "no-store"
        assert "hop;dur=" in reply.headers["server-timing"]


def test_one_instance_takes_what_the_other_rendered(stack: Any, cache_status: Any) -> None:
    """A page rendered by one instance is a hit from the shared store on the other."""
    stack.invalidate(PAIR)
    stack.page(PAIR, bff=0)
    assert "hit; detail=shared" in cache_status(stack.page(PAIR, bff=1))


@pytest.mark.parametrize("name", ["currency:sek", "Currency:SEK", PAIR, "/pairs/USD/*", "*"])
def test_invalidation_reaches_both_instances(stack: Any, fence: Any, name: str) -> None:
    """Whatever names the page, both instances serve one that is as new as the event."""
    before = [fence(stack.page(PAIR, bff)) for bff in (0, 1)]
    stack.invalidate(name)
    after = [fence(stack.page(PAIR, bff)) for bff in (0, 1)]
    assert min(after) > max(before)


def test_invalidation_of_another_page_leaves_this_one(stack: Any, cache_status: Any) -> None:
    """A page that does not depend on what changed stays where it is."""
    stack.page(PAIR)
    stack.invalidate("currency:jpy")
    assert "hit; ttl=" in cache_status(stack.page(PAIR))


def test_soft_invalidation_serves_the_old_page_once_more(
    stack: Any, cache_status: Any, eventually: Any, fence: Any
) -> None:
    """After a soft invalidation the old page is served, marked and no-store, then the new one."""
    old = fence(stack.page(PAIR))
    stack.signal("revalidator", signal.SIGSTOP)  # it would have popular pages rendered again
    try:
        stack.invalidate(PAIR, "--mode", "soft")
        stale = stack.page(PAIR)
        assert "detail=stale-while-revalidate" in cache_status(stale)
        assert (old, "no-store") == (fence(stale), stale.headers["cache-control"])
        eventually(lambda: fence(stack.page(PAIR)) > old)
    finally:
        stack.signal("revalidator", signal.SIGCONT)


def test_write_becomes_a_new_page_on_both_instances(stack: Any, eventually: Any) -> None:
    """A change through the api shows on every instance, with no command, restart or TTL."""
    old = stack.rates(DAY)["SEK"]
    assert "19.8765" not in stack.page("/currencies/SEK", 0).text
    stack.page("/currencies/SEK", 1)
    try:
        assert stack.write(DAY, SEK=19.8765).status_code == 200
        for bff in (0, 1):
            eventually(lambda bff=bff: "19.8765" in stack.page("/currencies/SEK", bff).text)
    finally:
        stack.write(DAY, SEK=old)
    for bff in (0, 1):
        eventually(lambda bff=bff: "19.8765" not in stack.page("/currencies/SEK", bff).text)


def test_put_replaces_a_day_and_its_pages_follow(stack: Any, eventually: Any) -> None:
    """`PUT` of a whole day with one new rate shows on the day's page of every instance."""
    rates = stack.rates(DAY)
    changed = {**rates, "USD": 1.7654}
    url = f"{stack.api}/api/v1/days/{DAY}"
    try:
        assert stack.put(url, changed).status_code == 200
        for bff in (0, 1):
            eventually(lambda bff=bff: "1.7654" in stack.page(f"/days/{DAY}", bff).text)
    finally:
        stack.put(url, rates)
    for bff in (0, 1):
        eventually(lambda bff=bff: "1.7654" not in stack.page(f"/days/{DAY}", bff).text)


def test_day_that_appears_ends_its_cached_404(stack: Any, eventually: Any) -> None:
    """A cached "no rates on this day" goes when the day is written, and comes back after it."""
    day = "2026-10-31"  # a Saturday
    url = f"{stack.api}/api/v1/days/{day}"
    assert stack.page(f"/days/{day}").status_code == 404
    try:
        assert stack.put(url, {"USD": 1.5}).status_code == 201
        eventually(lambda: stack.page(f"/days/{day}").status_code == 200)
        eventually(lambda: day in stack.page(f"/days/{DAY}").text)  # its neighbour links to it
    finally:
        stack.write(day, USD=None)
    eventually(lambda: stack.page(f"/days/{day}").status_code == 404)


def test_bff_keeps_its_connections_to_the_api(stack: Any) -> None:
    """Many renders in a row go over few connections."""
    import psutil  # noqa: PLC0415  used here alone

    def connections() -> set[int]:
        port = int(stack.api.rsplit(":", 1)[1])
        main = psutil.Process(stack.pid("bff-1"))
        return {
            connection.laddr.port
            for process in (main, *main.children(recursive=True))
            for connection in process.net_connections("tcp")
            if connection.raddr and connection.raddr.port == port
        }

    stack.page("/ssr/currencies/USD")
    before = connections()
    for _ in range(50):
        assert stack.page("/ssr/currencies/USD").status_code == 200
    assert before
    assert connections() == before
