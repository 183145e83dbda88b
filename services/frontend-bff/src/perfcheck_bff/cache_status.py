"""`GET /api/cache`: where this instance stands in the invalidation log, and what its cache does.

With `position` it answers when the instance has applied the log up to there, so that whoever
published an event can see, instance by instance, that nobody serves the old page any more.
"""

from typing import Annotated

import msgspec
from asgi_isr import PageCache
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import Parameter
from perfcheck_chassis.http import json_answer
from perfcheck_contracts.limits import REQUEST_S, WAIT_S, WAIT_S_MAX

from perfcheck_bff.consistency import OwnWrites

__all__ = ["CacheReport", "LocalReport", "cache_report", "cache_routes"]


class LocalReport(msgspec.Struct, frozen=True, kw_only=True):
    """What this instance holds in memory."""

    pages: int
    bytes: int


class CacheReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One instance's cache at one moment.

    `position` is the last event applied, `base` what the index is complete since, `tags` how many
    tags the index holds; `applied` answers a wait, and is absent when none was asked for.
    `tokens_refused` counts consistency tokens that were not valid, absent while there was none.
    """

    instance: str
    joined: bool
    position: int | None
    base: int
    tags: int
    lease_remaining_s: float
    local: LocalReport
    counters: dict[str, int]
    applied: bool | None = None
    tokens_refused: int = 0


def cache_report(
    instance: str, cache: PageCache, *, applied: bool | None = None, tokens_refused: int = 0
) -> CacheReport:
    """Return the present state of `cache`."""
    status = cache.status()
    return CacheReport(
        instance=instance,
        joined=status.joined,
        position=status.position,
        base=status.base,
        tags=status.tags,
        lease_remaining_s=status.lease_remaining_s,
        local=LocalReport(pages=status.local.pages, bytes=status.local.bytes),
        counters=status.counters,
        applied=applied,
        tokens_refused=tokens_refused,
    )


def cache_routes(instance: str, cache: PageCache, own_writes: OwnWrites) -> list[HTTPRouteHandler]:
    """Return the handler of `/api/cache`."""

    @get("/api/cache", include_in_schema=False)
    async def status(
        position: Annotated[int | None, Parameter(ge=0)] = None,
        timeout_s: Annotated[float, Parameter(ge=0, le=REQUEST_S)] = WAIT_S,
    ) -> Response[bytes]:
        applied = None
        if position is not None:
            # A longer wait would not be answered within the limit on a whole request.
            bound_s = min(timeout_s, WAIT_S_MAX)
            applied = await cache.applied(position, timeout_s=bound_s)
        report = cache_report(instance, cache, applied=applied, tokens_refused=own_writes.refused)
        answer = json_answer(report)
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    return [status]
