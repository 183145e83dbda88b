"""The live page of this instance's cache, as it was when the page was loaded."""

import msgspec
from perfcheck_contracts import HealthReport

from perfcheck_bff.cache_status import CacheReport
from perfcheck_bff.site import formats
from perfcheck_bff.site.texts import Texts

__all__ = ["CheckRow", "CounterRow", "PerfView", "perf_view"]

_NONE = "\N{EN DASH}"
_ANSWERS = ("hits", "stale", "misses")
_REQUESTS = (*_ANSWERS, "not_modified", "collapsed", "bypassed", "unstorable")


class CounterRow(msgspec.Struct, frozen=True, kw_only=True):
    """One counter; `label` is its name in words."""

    name: str
    label: str
    count: str


class CheckRow(msgspec.Struct, frozen=True, kw_only=True):
    """One health check."""

    name: str
    status: str
    detail: str
    ms: str


class PerfView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything on the page; `perf.js` fills the same places later."""

    instance: str
    hit_rate: str
    answers: str
    position: str
    joined: str
    lease: str
    lease_note: str
    pages: str
    bytes: str
    requests: tuple[CounterRow, ...]
    work: tuple[CounterRow, ...]
    checks: tuple[CheckRow, ...]


def perf_view(
    cache: CacheReport, health: HealthReport, texts: Texts, *, lease_s: float
) -> PerfView:
    """Lay out the state of the cache and the health checks.

    The hit rate is of all requests for pages that the cache answered, stale ones counted as none.
    """
    hits = cache.counters.get("hits", 0)
    answers = sum(cache.counters.get(name, 0) for name in _ANSWERS)
    rows = [
        CounterRow(name=name, label=name.replace("_", " "), count=f"{count:,}")
        for name, count in cache.counters.items()
    ]
    return PerfView(
        instance=cache.instance,
        hit_rate=f"{100 * hits / answers:.1f}%" if answers else _NONE,
        answers=texts("perf.answers_note", count=f"{answers:,}"),
        position=_NONE if cache.position is None else str(cache.position),
        joined=texts("perf.joined_yes" if cache.joined else "perf.joined_no"),
        lease=f"{cache.lease_remaining_s:.1f} s",
        lease_note=texts("perf.lease_note", seconds=f"{lease_s:g}"),
        pages=f"{cache.local.pages:,}",
        bytes=texts("perf.pages_note", bytes=formats.byte_size(cache.local.bytes)),
        requests=tuple(row for row in rows if row.name in _REQUESTS),
        work=tuple(row for row in rows if row.name not in _REQUESTS),
        checks=tuple(
            CheckRow(name=name, status=check.status, detail=check.detail, ms=f"{check.ms:.1f} ms")
            for name, check in health.checks.items()
        ),
    )
