"""What operators and programs ask this service: cache status, health, live page, settings."""

import os
import subprocess
import sys
from typing import Any

import pytest


def test_cache_status_says_where_the_instance_stands(bff: Any) -> None:
    """Position, index, lease, what is held and what was answered; never stored."""
    bff.get("/")
    answer = bff.get("/api/cache")
    report = answer.json()

    assert answer.headers["cache-control"] == "no-store"
    assert report["instance"] == "bff-under-test"
    assert report["joined"] is True
    assert report["position"] >= report["base"]
    assert 0 < report["lease_remaining_s"] <= 15
    assert report["local"]["pages"] >= 1
    assert report["local"]["bytes"] > 0
    assert {"hits", "stale", "misses"} <= report["counters"].keys()
    assert "applied" not in report


def test_a_position_that_was_reached_is_applied(bff: Any) -> None:
    """Who published an event asks whether it is applied here."""
    position = bff.get("/api/cache").json()["position"]

    report = bff.get(f"/api/cache?position={position}").json()

    assert report["applied"] is True
    assert report["position"] >= position


def test_the_wait_for_a_position_is_bounded(bff: Any) -> None:
    """A position that does not come is answered after the time that was asked for."""
    position = bff.get("/api/cache").json()["position"] + 1_000_000

    report = bff.get(f"/api/cache?position={position}&timeout_s=0.05").json()

    assert report["applied"] is False
    assert report["position"] < position


@pytest.mark.parametrize("query", ["position=x", "position=-1", "position=1&timeout_s=31"])
def test_a_wait_that_makes_no_sense_is_refused(bff: Any, query: str) -> None:
    """The answer names the parameter."""
    answer = bff.get(f"/api/cache?{query}")

    assert answer.status == 400
    assert answer.json()["errors"][0]["field"] in {"position", "timeout_s"}


def test_health_names_every_neighbour(bff: Any) -> None:
    """Only the log is required: without it no page can be judged."""
    checks = bff.get("/api/health").json()["checks"]

    assert {name for name, check in checks.items() if check["required"]} == {"log"}
    assert set(checks) == {"log", "lease", "api", "store"}
    assert bff.get("/api/health/live").status == 200


def test_the_live_page_shows_this_instance(bff: Any) -> None:
    """It is rendered with the present values, refreshed by a script of ours, never stored."""
    answer = bff.get("/perf")
    page = answer.text
    script = page.partition('<script type="module" src="')[2].partition('"')[0]

    assert answer.headers["cache-control"] == "no-store"
    assert "bff-under-test" in page
    assert 'data-count="hits"' in page
    assert bff.get(script).headers["content-type"] == "text/javascript; charset=utf-8"


def test_settings_that_are_missing_are_named() -> None:
    """The service does not start half configured; it says all that is missing at once."""
    environ = {"PATH": os.defpath, "PERFCHECK_API_URL": "ftp://x"}

    ended = subprocess.run(
        [sys.executable, "-m", "perfcheck_bff"],
        env=environ,
        capture_output=True,
        timeout=30,
        check=False,
        text=True,
    )

    assert ended.returncode == 2
    for variable in ("PERFCHECK_API_URL", "PERFCHECK_NATS_URL", "PERFCHECK_VALKEY_URL"):
        assert variable in ended.stderr
