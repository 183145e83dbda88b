"""How long an invalidation takes to be true everywhere.

A trial makes a page a hit on every instance, publishes an invalidation of a tag of the page, and
asks every instance until the page it serves is as new as the event (`fence` >= its sequence in the
log). It ends with the last instance. What is measured is what a reader sees, not a report.
"""

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence
from typing import Protocol

from asgi_isr.events import Invalidation

from perfcheck import environment
from perfcheck.check.cachestatus import fence, is_hit
from perfcheck.check.config import Invalidation as Settings
from perfcheck.check.judge import Measurement
from perfcheck.check.metrics import Group, of_group
from perfcheck.check.plan import Plan
from perfcheck.check.statistics import percentile
from perfcheck.concurrent import together
from perfcheck.exits import NoAnswerInTimeError, TargetError
from perfcheck.http import Http

TIMED_OUT = float("inf")


class Log(Protocol):
    """Where invalidations are published."""

    async def publish(self, event: Invalidation, *, now: dt.datetime, timeout_s: float) -> int:
        """Publish an event and return its sequence in the log; raises `TargetError`."""


async def measure(
    http: Http,
    log: Log,
    plan: Plan,
    instances: Sequence[str],
    settings: Settings,
    *,
    api: str,
) -> list[Measurement]:
    """Run the trials and return the group `invalidation`; a trial over its time limit counts.

    Raises:
        TargetError: when a service or the log does not answer.

    """
    times_ms = []
    for number in range(settings.trials):
        code = plan.currencies[number % len(plan.currencies)]
        tag = await _tag(http, f"{api}/api/v1/currencies/{code}")
        urls = [f"{instance}/currencies/{code}" for instance in instances]
        times_ms.append(await _trial(http, log, urls, tag, settings))
    return summarise(times_ms)


def summarise(times_ms: Sequence[float]) -> list[Measurement]:
    """Return median and maximum of the trials; an infinite time is one that timed out. Pure."""
    late = sum(time_ms == TIMED_OUT for time_ms in times_ms)
    detail = f"{late} of {len(times_ms)} trials timed out" if late else ""
    shares = dict(zip(of_group(Group.INVALIDATION), (0.5, 1.0), strict=True))
    return [
        Measurement(
            metric=name,
            value=percentile(times_ms, share) if times_ms else None,
            samples=len(times_ms),
            detail=detail,
        )
        for name, share in shares.items()
    ]


async def _tag(http: Http, url: str) -> str:
    """Return the first tag that the API names for this answer: tags come from the data."""
    reply = (await http.get(url)).expect(200)
    tag = reply.headers.get("cache-tag", "").split(",")[0].strip()
    if not tag:
        raise TargetError(f"{url} names no tag in Cache-Tag")
    return tag


async def _trial(http: Http, log: Log, urls: Sequence[str], tag: str, settings: Settings) -> float:
    """Return the milliseconds from before publishing until the last instance is as new, or inf."""
    clock = environment.monotonic_s
    deadline_s = clock() + settings.timeout_s
    if not await _everywhere(http, urls, is_hit, deadline_s, settings):
        return TIMED_OUT
    event = Invalidation(tags=(tag,), reason="perfcheck check")
    start_s = clock()
    deadline_s = start_s + settings.timeout_s
    seq = await log.publish(event, now=environment.utc_now(), timeout_s=settings.timeout_s)

    def new(header: str | None) -> bool:
        return (fence(header) or 0) >= seq

    everywhere = await _everywhere(http, urls, new, deadline_s, settings)
    return (clock() - start_s) * 1000 if everywhere else TIMED_OUT


async def _everywhere(
    http: Http,
    urls: Sequence[str],
    wanted: Callable[[str | None], bool],
    deadline_s: float,
    settings: Settings,
) -> bool:
    """Ask all instances at once until each one's `Cache-Status` is as wanted; False when late."""

    async def one(url: str) -> bool:
        while (left_s := deadline_s - environment.monotonic_s()) > 0:
            try:
                reply = (await http.get(url, timeout_s=left_s)).expect(200)
            except NoAnswerInTimeError:
                return False  # the trial's limit, not the tool's
            if wanted(reply.headers.get("cache-status")):
                return True
            await asyncio.sleep(settings.poll_interval_s)
        return False

    return all(await together(one(url) for url in urls))
