"""Cached pages under load: warm-up, a k6 run over all instances, and what its samples say."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from perfcheck.check.cache_status import is_hit
from perfcheck.check.k6 import LoadPlan, run
from perfcheck.check.plan import Plan
from perfcheck.check.processor import snapshot, used_s
from perfcheck.check.samples import Load, PageSample
from perfcheck.concurrent import together
from perfcheck.exits import TargetError
from perfcheck.http import Http
from perfcheck.judge.config import Load as LoadSettings
from perfcheck.judge.statistics import into_rounds, median_of_rounds
from perfcheck.judge.verdicts import Measurement

PAGE_TIMEOUT_S = 10.0
WARM_ATTEMPTS = 3
WARM_CONCURRENCY = 4


async def warm(http: Http, instances: Sequence[str], plan: Plan) -> int:
    """Ask every instance for every page until it is a hit, at most three times; return the hits.

    Raises:
        TargetError: when an instance does not answer at all.

    """
    gate = asyncio.Semaphore(WARM_CONCURRENCY)

    async def until_hit(url: str) -> bool:
        async with gate:
            for _ in range(WARM_ATTEMPTS):
                reply = await http.get(url)
                if is_hit(reply.headers.get("cache-status")):
                    return True
        return False

    # One instance after the other: the second finds in the shared store what the first rendered.
    hits = 0
    for instance in instances:
        hits += sum(await together(until_hit(instance + page.path) for page in plan.pages))
    return hits


async def measure(
    binary: Path,
    plan: Plan,
    instances: Sequence[str],
    settings: LoadSettings,
    *,
    pids: Sequence[int],
    directory: Path,
) -> list[Measurement]:
    """Run the load and return the measurements of the groups `pages` and, with pids, `cpu`.

    Raises:
        TargetError: as `k6.run` does, and when a process of a BFF is gone before it starts.

    """
    load_plan = LoadPlan(
        instances=list(instances),
        pages=list(plan.pages),
        rate_per_s=settings.rate_per_s,
        duration_s=settings.warmup_s + settings.rounds * settings.round_s,
        vus_max=settings.vus_max,
        timeout_s=PAGE_TIMEOUT_S,
    )
    if not pids:
        return judgeable(
            await run(binary, load_plan, directory), settings, instances=len(instances)
        )
    before = snapshot(pids)
    load = await run(binary, load_plan, directory)
    return [*judgeable(load, settings, instances=len(instances)), _processor(load, before, pids)]


def judgeable(load: Load, settings: LoadSettings, *, instances: int) -> list[Measurement]:
    """Turn the samples of a run into measurements of the group `pages`. Pure.

    Times are of right answers only, and the median over rounds; errors and hits are shares of all
    samples after the warm-up; the rate is that of right answers over the measured time.
    """
    if not load.pages:
        names = ("pages_p50_ms", "pages_p99_ms", "pages_per_s_per_task", "hit_rate", "error_rate")
        return [_nothing(name, "k6 made no request") for name in names]
    start_s = min(page.at_s for page in load.pages) + settings.warmup_s
    end_s = start_s + settings.rounds * settings.round_s
    measured = [page for page in load.pages if start_s <= page.at_s < end_s]
    right = [page for page in measured if page.right]
    wrong = len(measured) - len(right)
    hits = sum(page.cache == "hit" for page in measured)
    measured_s = settings.rounds * settings.round_s
    per_task = len(right) / measured_s / instances
    return [
        _times("pages_p50_ms", right, 0.5, start_s, settings),
        _times("pages_p99_ms", right, 0.99, start_s, settings),
        _measured("pages_per_s_per_task", per_task, len(right)),
        _share("hit_rate", hits, len(measured)),
        _share("error_rate", wrong, len(measured), detail=_worst(measured)),
    ]


def _times(
    name: str, pages: Sequence[PageSample], share: float, start_s: float, settings: LoadSettings
) -> Measurement:
    rounds = into_rounds(
        ((page.at_s, page.duration_ms) for page in pages),
        start_s=start_s,
        rounds=settings.rounds,
        round_s=settings.round_s,
    )
    try:
        value = median_of_rounds(rounds, share)
    except ValueError as error:
        return _nothing(name, str(error), samples=len(pages))
    return _measured(name, value, len(pages), detail=f"median of {settings.rounds} rounds")


def _processor(load: Load, before: Mapping[int, float], pids: Sequence[int]) -> Measurement:
    name = "cpu_us_per_request"
    if not load.pages:
        return _nothing(name, "k6 made no request")
    try:
        used = used_s(before, snapshot(pids))
    except TargetError as error:  # a BFF that died shows in the errors; they must not be hidden
        return _nothing(name, str(error))
    return _measured(name, used * 1e6 / len(load.pages), len(load.pages))


def _share(name: str, count: int, of: int, *, detail: str = "") -> Measurement:
    return _measured(name, count / of, of, detail=detail) if of else _nothing(name, "no samples")


def _worst(pages: Sequence[PageSample]) -> str:
    """Return one example of what was wrong, "" when nothing was."""
    with contextlib.suppress(StopIteration):
        page = next(page for page in pages if not page.right)
        what = "no answer" if page.status == "0" else f"status {page.status}"
        if page.status == "200":
            what = "wrong content"
        return f"first: {what} for a {page.kind} page of instance {int(page.instance) + 1}"
    return ""


def _measured(name: str, value: float, samples: int, *, detail: str = "") -> Measurement:
    return Measurement(metric=name, value=value, samples=samples, detail=detail)


def _nothing(name: str, problem: str, *, samples: int = 0) -> Measurement:
    return Measurement(metric=name, value=None, samples=samples, problem=problem)
