"""How long an invalidation takes to be true everywhere.

A trial makes a page a hit on every instance, invalidates a tag of the page through the API, and
waits until every live task has reported that it applied the event: the time that the API tells for
the last one. Then every instance is asked for the page, once: it must be newer than before. So what
is measured is a report, and what is checked is that a reader sees the same.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from perfcheck_contracts import InvalidationWrite, percentile
from perfcheck_contracts.limits import WAIT_S_MAX

from perfcheck import environment
from perfcheck.api import Api
from perfcheck.check.cache_status import fence, is_hit
from perfcheck.check.plan import Plan
from perfcheck.concurrent import together
from perfcheck.events.invalidate import fresh
from perfcheck.exits import NoAnswerInTimeError, TargetError
from perfcheck.http import Http
from perfcheck.judge.config import InvalidationTrials as Settings
from perfcheck.judge.metrics import Group, of_group
from perfcheck.judge.verdicts import Measurement

TIMED_OUT = float("inf")


class Trial(NamedTuple):
    """How long it took, infinite when it failed, and then why."""

    time_ms: float
    problem: str = ""


async def measure(
    http: Http, api: Api, plan: Plan, instances: Sequence[str], settings: Settings, *, api_url: str
) -> list[Measurement]:
    """Run the trials and return the group `invalidation`; a trial over its time limit counts.

    Raises:
        TargetError: when a service does not answer, or the API does not know all instances.

    """
    trials = []
    for number in range(settings.trials):
        code = plan.currencies[number % len(plan.currencies)]
        tag = await _tag(http, f"{api_url}/api/v1/currencies/{code}")
        urls = [f"{instance}/currencies/{code}" for instance in instances]
        trials.append(await _trial(http, api, urls, tag, settings))
    return summarise(trials)


def summarise(trials: Sequence[Trial]) -> list[Measurement]:
    """Return median and maximum of the trials; the detail tells the first that failed. Pure."""
    failed = [trial for trial in trials if trial.time_ms == TIMED_OUT]
    detail = f"{len(failed)} of {len(trials)} trials failed: {failed[0].problem}" if failed else ""
    shares = dict(zip(of_group(Group.INVALIDATION), (0.5, 1.0), strict=True))
    times_ms = [trial.time_ms for trial in trials]
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
        raise TargetError(f"{url} has no tag in Cache-Tag")
    return tag


async def _trial(http: Http, api: Api, urls: Sequence[str], tag: str, settings: Settings) -> Trial:
    fences = await together(_hit(http, url, settings) for url in urls)
    before = [number for number in fences if number is not None]
    if len(before) < len(urls):
        return Trial(TIMED_OUT, f"no hit within {settings.timeout_s:g} s")
    accepted = await api.invalidate(
        InvalidationWrite(tags=[tag], reason="perfcheck check"),
        key=environment.new_id(),
        wait_s=min(settings.timeout_s, WAIT_S_MAX),
    )
    applied = accepted.applied
    if applied is None:
        raise TargetError(f"the API did not report which tasks have applied {accepted.id}")
    if applied.missing:
        return Trial(TIMED_OUT, f"not applied by {', '.join(sorted(applied.missing))}")
    if applied.max_ms is None or fresh(applied)[1] < len(urls):
        raise TargetError(
            f"the API knows of {fresh(applied)[1]} live tasks, but {len(urls)} instances are "
            "measured: are all of them connected to its log?"
        )
    after = await together(_fence(http, url, settings) for url in urls)
    old = [
        url for url, was, now in zip(urls, before, after, strict=True) if now is None or now <= was
    ]
    if old:
        return Trial(
            TIMED_OUT, f"{old[0]} is still served as it was, although the event was applied"
        )
    return Trial(applied.max_ms)


async def _hit(http: Http, url: str, settings: Settings) -> int | None:
    """Ask until the page is a hit and return how new it is; None when that takes too long."""
    deadline_s = environment.monotonic_s() + settings.timeout_s
    while (left_s := deadline_s - environment.monotonic_s()) > 0:
        try:
            reply = (await http.get(url, timeout_s=left_s)).expect(200)
        except NoAnswerInTimeError:
            return None  # the trial's limit, not the tool's
        status = reply.headers.get("cache-status")
        if is_hit(status):
            return fence(status) or 0
        await asyncio.sleep(settings.poll_interval_s)
    return None


async def _fence(http: Http, url: str, settings: Settings) -> int | None:
    """Ask once and return how new the page is; None when it does not tell, or not in time."""
    try:
        reply = (await http.get(url, timeout_s=settings.timeout_s)).expect(200)
    except NoAnswerInTimeError:
        return None
    return fence(reply.headers.get("cache-status"))
