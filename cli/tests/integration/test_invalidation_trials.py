"""Trials of invalidation against small servers: what counts as everywhere, and as too late."""

import datetime as dt
import math
from typing import Any

from asgi_isr.events import Invalidation
from perfcheck.check import invalidation
from perfcheck.check.config import Invalidation as Settings
from perfcheck.check.plan import Plan
from perfcheck.http import Http

PLAN = Plan(pages=[], currencies=["JPY", "USD"], days=["2026-10-30"])
SETTINGS = Settings(trials=4, timeout_s=0.3, poll_interval_s=0.001)


class DirectLog:
    """A log that its readers have applied at once: tells each instance the new position."""

    def __init__(self, bffs: list[Any]) -> None:
        self._bffs = bffs
        self.events: list[Invalidation] = []

    async def publish(self, event: Invalidation, *, now: dt.datetime, timeout_s: float) -> int:
        """Apply the event on every instance."""
        del now, timeout_s
        self.events.append(event)
        for bff in self._bffs:
            bff.apply(len(self.events))
        return len(self.events)


async def measured(serve: Any, fake_api: Any, bffs: list[Any]) -> tuple[dict[str, Any], DirectLog]:
    """Run the trials and return the measurements by metric."""
    log = DirectLog(bffs)
    async with Http(timeout_s=5.0) as http:
        found = await invalidation.measure(
            http, log, PLAN, [serve(bff) for bff in bffs], SETTINGS, api=serve(fake_api)
        )
    return {each.metric: each for each in found}, log


async def test_a_trial_ends_when_every_instance_is_as_new(
    serve: Any, make_bff: Any, fake_api: Any
) -> None:
    """Each trial invalidates the tag that the API names for the page that is then polled."""
    found, log = await measured(serve, fake_api, [make_bff(), make_bff()])
    assert found["invalidation_max_ms"].samples == 4
    assert 0 < found["invalidation_p50_ms"].value <= found["invalidation_max_ms"].value < 300
    assert [event.tags for event in log.events] == [("currency:jpy",), ("currency:usd",)] * 2


async def test_an_instance_that_stays_old_makes_every_trial_late(
    serve: Any, make_bff: Any, fake_api: Any
) -> None:
    """One of two instances goes on serving the old page: the trials are failures, not dropped."""
    found, _ = await measured(serve, fake_api, [make_bff(), make_bff(stuck=True)])
    assert found["invalidation_max_ms"].value == math.inf
    assert found["invalidation_max_ms"].samples == 4
    assert found["invalidation_max_ms"].detail == "4 of 4 trials timed out"
