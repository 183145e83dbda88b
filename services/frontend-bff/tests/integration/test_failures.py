"""What does not exist, what is asked wrongly, and what happens when the api is away."""

from pathlib import Path
from typing import Any

import pytest
from asgi_isr.testing import eventually_sync


@pytest.mark.parametrize(
    ("path", "tag"),
    [
        ("/currencies/ZZZ", "currency:zzz"),
        ("/pairs/USD/ZZZ", "currency:zzz"),
        ("/days/2026-10-31", "day:2026-10-31"),
        ("/years/1998", "year:1998"),
    ],
)
def test_what_is_missing_is_a_page_with_tags(bff: Any, path: str, tag: str) -> None:
    """A 404 is a page like others: kept, and invalidated by what would make it exist."""
    bff.get(path)
    answer = bff.get(path)

    assert answer.status == 404
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert tag in answer.headers["cache-tag"]
    assert "hit" in answer.headers["cache-status"]
    assert "Page not found" in answer.text


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/currencies/EUR", 404, "The euro is the base"),
        ("/currencies/US", 404, "no currency with the code US"),
        ("/currencies/%3Cb%3E", 404, "&lt;b&gt;"),
        ("/pairs/USD/USD", 400, "two different currencies"),
        ("/days/2026-02-30", 400, "is not a date"),
        ("/days/20261030", 400, "is not a date"),
        ("/years/26", 404, "no rates for the year 26"),
        ("/nowhere", 404, "no page at this address"),
        ("/ssr/nowhere", 404, "no page at this address"),
    ],
)
def test_what_cannot_be_is_told_and_not_kept(bff: Any, path: str, status: int, says: str) -> None:
    """An address that no data would make right gets a page that names the reason."""
    answer = bff.get(path)

    assert answer.status == status
    assert says in answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"


def test_pages_can_only_be_read(bff: Any) -> None:
    """Another method gets a page that says so, and which methods there are."""
    answer = bff.call("POST", "/", body=b"")

    assert answer.status == 405
    assert "GET" in answer.headers["allow"]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_programs_get_problem_details(bff: Any) -> None:
    """Below /api/ errors are for programs."""
    answer = bff.get("/api/nothing")

    assert answer.status == 404
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_connections_to_the_api_are_reused(bff: Any, relay: Any) -> None:
    """Fifty renders, two calls side by side each, need two connections at most."""
    bff.get("/ssr/currencies/USD")
    before = len(relay.accepted)

    for _ in range(50):
        assert bff.get("/ssr/currencies/USD").status == 200

    assert len(relay.accepted) - before <= 1


def test_without_the_api_pages_are_errors_that_nobody_keeps(bff: Any, relay: Any) -> None:
    """A page that was never rendered is a 502 while the api is away, and there when it is back."""
    relay.cut()
    try:
        away = bff.get("/pairs/JPY/IDR")
        away_ssr = bff.get("/ssr")
        health = bff.get("/api/health")
    finally:
        relay.open()
    back = bff.get("/pairs/JPY/IDR")

    for answer in (away, away_ssr):
        assert answer.status == 502
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["retry-after"] == "5"
        assert "are not available right now" in answer.text
    # Taking the instance out would turn the api's failure into that of all pages.
    assert health.status == 200
    assert health.json()["status"] == "warn"
    assert health.json()["checks"]["api"]["status"] == "warn"
    assert back.status == 200
    eventually_sync(lambda: bff.get("/api/health").json()["status"] == "pass", timeout_s=10)


def test_pages_that_were_rendered_are_served_without_the_api(bff: Any, relay: Any) -> None:
    """What the cache holds needs no api."""
    bff.get("/years/2024")
    relay.cut()
    try:
        answer = bff.get("/years/2024")
    finally:
        relay.open()

    assert answer.status == 200
    assert "hit" in answer.headers["cache-status"]


def test_an_api_that_does_not_answer_is_a_time_out(
    bff_environ: dict[str, str], folder: Path, run_process: Any, silence: int
) -> None:
    """A silent api costs a bounded time, and the page says 504."""
    environ = {**bff_environ, "PERFCHECK_API_URL": f"http://127.0.0.1:{silence}"}
    with run_process("perfcheck_bff", folder / "silent.log", environ) as other:
        answer = other.get("/ssr/years")

    assert answer.status == 504
    assert answer.headers["cache-control"] == "no-store"
    assert "taking too long" in answer.text
