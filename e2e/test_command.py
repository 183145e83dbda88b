"""The command against the running stack, as a user types it."""

import json
import re
from typing import Any

import pytest


def test_status_passes_and_tells_where_each_instance_stands(stack: Any, eventually: Any) -> None:
    """`perfcheck status` exits 0 when every service passes, and names each instance."""
    eventually(stack.healthy)
    done = stack.command("status")
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("api", "revalidator", "bff-1", "bff-2"):
        assert name in done.stdout


def test_invalidate_and_wait_prints_each_tasks_milliseconds(stack: Any) -> None:
    """`--wait` returns when every task has applied the event, and says how long each took."""
    done = stack.command("invalidate", "currency:usd", "--wait")
    assert done.returncode == 0, done.stderr
    assert re.search(r"2/2 tasks .* in \d+ ms \(\S+ \d+, \S+ \d+\)", done.stdout), done.stdout


def test_replay_writes_days_again(stack: Any, fence: Any) -> None:
    """`perfcheck replay` writes the last days through the api; their pages are rendered again."""
    before = fence(stack.page("/currencies/USD"))
    rates = stack.rates("2026-10-30")
    done = stack.command("replay", "--days", "5", "--rate", "50")
    assert done.returncode == 0, done.stderr
    stack.invalidate("nothing:else")  # everything before it has been applied
    assert fence(stack.page("/currencies/USD")) > before
    assert rates == stack.rates("2026-10-30")


def test_ingest_again_changes_nothing(stack: Any, cache_status: Any) -> None:
    """Loading the same file again is idempotent and invalidates nothing."""
    stack.page("/years/2026")
    done = stack.command("ingest", within_s=120)
    assert done.returncode == 0, done.stderr
    stack.invalidate("nothing:else")
    assert "hit; ttl=" in cache_status(stack.page("/years/2026"))


def test_second_up_is_refused(stack: Any) -> None:
    """A second `perfcheck up` on the same directory is refused and names who runs there."""
    done = stack.command("up")
    assert done.returncode == 4
    assert str(stack.run["pid"]) in done.stderr


@pytest.mark.quiet
def test_check_measures_and_judges(stack: Any) -> None:
    """`perfcheck check` gives every metric a verdict from enough samples, as table and as JSON."""
    done = stack.command("check", "--json", "--duration", "10s", within_s=180)
    assert done.returncode in {0, 1}, done.stderr
    report = json.loads(done.stdout)
    assert report["metrics"], report
    for metric in report["metrics"]:
        assert metric["verdict"] in {"pass", "warn", "FAIL", "fail"}, metric
        assert metric["samples"] > 0, metric
