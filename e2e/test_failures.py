"""Kill or freeze each part: what pages do meanwhile, and that everything recovers by itself."""

import signal
from typing import Any

import pytest

DAY = "2026-10-30"
PAIR = "/pairs/USD/NOK"
# Each is asked for by one test alone, so it is not rendered ahead.
UNPOPULAR = "/pairs/NOK/HUF"
NEVER_SEEN = "/pairs/NOK/PLN"


@pytest.mark.parametrize(
    "name", ["postgres", "valkey", "nats", "api", "revalidator", "bff-1", "bff-2"]
)
def test_killed_part_comes_back_and_nothing_is_lost(
    untouched: Any, eventually: Any, name: str
) -> None:
    """After kill -9 of a part the system recovers, and a write made then reaches every page."""
    old = untouched.rates(DAY)["NOK"]
    new = round(old + 0.1234, 4)
    untouched.page(PAIR, 0)
    before = untouched.pid(name)
    untouched.signal(name, signal.SIGKILL)
    eventually(lambda: untouched.pid(name) not in {0, before})
    eventually(untouched.healthy)
    try:
        assert untouched.write(DAY, NOK=new).status_code == 200
        shown = f"{new:.4f}".rstrip("0")
        for bff in (0, 1):
            eventually(lambda bff=bff: shown in untouched.page("/currencies/NOK", bff).text)
    finally:
        untouched.write(DAY, NOK=old)
    assert untouched.rates(DAY)["NOK"] == old


@pytest.mark.parametrize("name", ["valkey", "nats", "api", "revalidator", "postgres"])
def test_cached_pages_are_served_while_a_part_is_down(
    untouched: Any, eventually: Any, cache_status: Any, name: str
) -> None:
    """While a part is frozen, a page that is cached stays a hit from memory (within the lease)."""
    eventually(lambda: "hit; ttl=" in cache_status(untouched.page(PAIR)))
    untouched.signal(name, signal.SIGSTOP)
    try:
        for _ in range(20):  # whoever asked the frozen part would get something else
            assert "hit; ttl=" in cache_status(untouched.page(PAIR))
    finally:
        untouched.signal(name, signal.SIGCONT)


def test_frozen_store_does_not_hold_up_a_miss(untouched: Any, cache_status: Any) -> None:
    """With the shared store frozen a miss is rendered all the same, while the store stays so."""
    untouched.invalidate("currency:nok")
    untouched.signal("valkey", signal.SIGSTOP)
    try:
        reply = untouched.page(NEVER_SEEN)
        assert reply.status_code == 200
        assert "fwd=uri-miss" in cache_status(reply)
    finally:
        untouched.signal("valkey", signal.SIGCONT)


def test_page_that_needs_a_frozen_api_is_an_error_page_and_not_kept(
    untouched: Any, eventually: Any
) -> None:
    """A miss while the api does not answer ends in an error page; afterwards the page is there."""
    untouched.invalidate("currency:nok")
    untouched.signal("api", signal.SIGSTOP)
    try:
        reply = untouched.page(UNPOPULAR)
        assert reply.status_code in {502, 503, 504}
        assert reply.headers["cache-control"] == "no-store"
        assert "<html" in reply.text
    finally:
        untouched.signal("api", signal.SIGCONT)
    eventually(lambda: untouched.page(UNPOPULAR).status_code == 200)


def test_write_without_the_broker_is_published_when_it_is_back(
    untouched: Any, eventually: Any
) -> None:
    """With NATS frozen a write commits; its event follows when NATS goes on."""
    old = untouched.rates(DAY)["NOK"]
    new = round(old + 0.4321, 4)
    untouched.page("/currencies/NOK")
    untouched.signal("nats", signal.SIGSTOP)
    try:
        assert untouched.write(DAY, NOK=new).status_code == 200
    finally:
        untouched.signal("nats", signal.SIGCONT)
    try:
        shown = f"{new:.4f}".rstrip("0")
        for bff in (0, 1):
            eventually(lambda bff=bff: shown in untouched.page("/currencies/NOK", bff).text)
    finally:
        untouched.write(DAY, NOK=old)


def test_without_the_log_nothing_is_fresh_past_the_lease(
    untouched: Any, eventually: Any, cache_status: Any
) -> None:
    """With NATS frozen for longer than the lease, pages are marked stale and no-store."""
    eventually(lambda: "hit; ttl=" in cache_status(untouched.page(PAIR)))
    untouched.signal("nats", signal.SIGSTOP)
    try:
        eventually(lambda: untouched.page(PAIR).headers["cache-control"] == "no-store")
        reply = untouched.page(PAIR)
        assert reply.status_code == 200
        assert "detail=local" not in cache_status(reply)
    finally:
        untouched.signal("nats", signal.SIGCONT)
    eventually(lambda: "hit; ttl=" in cache_status(untouched.page(PAIR)))
