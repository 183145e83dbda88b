"""`CloudFront`: invalidations by tag and path, coalesced, idempotent, under a monthly cap."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
from asgi_isr.backoff import Jitter, wait_s
from asgi_isr.ports import Clock
from perfcheck_contracts import CdnPurge

from perfcheck_revalidator.cdn.batches import Batch, Batches
from perfcheck_revalidator.cdn.cloudfront_api import CloudFrontApi, CloudFrontError
from perfcheck_revalidator.cdn.cloudfront_items import caller_reference, chunks_of, items_of
from perfcheck_revalidator.cdn.names import names_of
from perfcheck_revalidator.cdn.port import CdnError, PurgeEvent
from perfcheck_revalidator.cdn.price import Budget

__all__ = ["BACKOFF_FIRST_S", "BACKOFF_MAX_S", "POLL_FIRST_S", "POLL_MAX_S", "CloudFront"]

BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 60.0
POLL_FIRST_S = 1.0
POLL_MAX_S = 5.0
_POLLS_MAX = 4096  # invalidations whose status is remembered

_log = logging.getLogger(__name__)


class _Poll(NamedTuple):
    """When an invalidation is asked about next, and when it was seen completed."""

    ask_at: float
    interval_s: float
    completed_at: datetime | None = None


class CloudFront:
    """A `Cdn`: one distribution of Amazon CloudFront.

    After a failure that passes it is left alone for a while that doubles; meanwhile calls fail at
    once and say how long. `unhealthy_reason` says what is wrong now, for health.
    """

    name = "cloudfront"

    def __init__(
        self, api: CloudFrontApi, budget: Budget, clock: Clock, *, window_s: float, jitter: Jitter
    ) -> None:
        self._api = api
        self._budget = budget
        self._clock = clock
        self._jitter = jitter
        self._batches = Batches(self._submit, clock, window_s=window_s)
        self._polls: dict[str, _Poll] = {}  # the oldest first
        self._failures = 0
        self._not_before = float("-inf")
        self._failure: str | None = None

    @property
    def unhealthy_reason(self) -> str | None:
        """What is wrong now, None when all is well."""
        return self._failure or self._budget.unhealthy_reason

    async def purge(self, events: Sequence[PurgeEvent], *, again: bool) -> list[CdnPurge]:
        """Create the invalidations of `events`, with those of other calls within the window.

        One over the monthly cap is `refused`, and `detail` says how to raise it. Raises `CdnError`
        if one is to be tried again, or if all are refused for good; one that is refused for good
        beside others that are not is `refused`.
        """
        outcomes = await self._batches.purge(events, again=again)
        errors = [outcome for outcome in outcomes if isinstance(outcome, CdnError)]
        passing = [error for error in errors if not error.permanent]
        if passing or (errors and len(errors) == len(outcomes)):
            # Raised again: several calls may have waited for one outcome.
            error = (passing or errors)[0]
            raise CdnError(
                str(error), retry_after_s=error.retry_after_s, permanent=error.permanent
            ) from error
        return [
            self._refused(str(outcome), again=again) if isinstance(outcome, CdnError) else outcome
            for outcome in outcomes
        ]

    async def completed(self, purge: CdnPurge) -> CdnPurge | None:
        """Return `purge` with its end, or None; asks CloudFront at most every 1 to 5 seconds."""
        if purge.status != "submitted":
            return purge
        ends: list[datetime] = []
        for invalidation_id in purge.reference.split(","):
            end = await self._end(invalidation_id)
            if end is None:
                return None
            ends.append(end)
        return msgspec.structs.replace(purge, status="completed", completed_at=max(ends))

    async def close(self) -> None:
        """Close the connections; a call under way ends within its time limits."""
        await self._api.close()

    async def _submit(self, batch: Batch) -> CdnPurge:
        self._check_backoff()
        items = items_of(names_of(batch.events.values()))
        if not items:
            return CdnPurge(
                provider=self.name,
                again=batch.again,
                status="completed",
                completed_at=self._now(),
                detail="nothing to purge: no page can have these names",
            )
        if not batch.counted:
            refusal = await self._budget.take(len(items))
            if refusal is not None:
                self._failure = f"a purge was refused: {refusal}"
                _log.error("CDN purge refused: %s", refusal, extra={"events": len(batch.events)})
                return self._refused(refusal, again=batch.again)
            batch.counted = len(items)
        try:
            await self._create(batch, items)
        except CloudFrontError as error:
            self._failed(error)
            if not error.unknown and not batch.references:
                batch.sent = False
                batch.counted = 0
                await self._budget.give_back(len(items))
                if error.items and len(batch.events) > 1:
                    # One event's names must not cost the others their purge.
                    batch.split = True
                    raise CdnError(f"each event is purged alone: {error}") from error
            raise
        self._failures = 0
        self._failure = None
        return CdnPurge(
            provider=self.name,
            again=batch.again,
            reference=",".join(batch.references),
            submitted_at=self._now(),
        )

    def _refused(self, detail: str, *, again: bool) -> CdnPurge:
        return CdnPurge(provider=self.name, again=again, status="refused", detail=detail)

    async def _create(self, batch: Batch, items: Sequence[str]) -> None:
        """Create what is not known to exist: one invalidation for each chunk of `items`."""
        for number, chunk in enumerate(chunks_of(items)):
            if number < len(batch.references):
                continue
            reference = caller_reference(batch.events, again=batch.again, chunk=number, items=chunk)
            batch.sent = True
            batch.references.append(await self._api.create(reference, chunk))

    def _check_backoff(self) -> None:
        left_s = self._not_before - self._clock.monotonic()
        if left_s > 0:
            raise CdnError(
                f"CloudFront is left alone for {left_s:.1f} s more: {self._failure}",
                retry_after_s=left_s,
            )

    def _failed(self, error: CloudFrontError) -> None:
        """Remember the failure; one that passes opens the next wait."""
        self._failure = str(error)
        if error.permanent:
            return
        self._failures += 1
        error.retry_after_s = wait_s(
            self._failures, first_s=BACKOFF_FIRST_S, max_s=BACKOFF_MAX_S, drawn=self._jitter()
        )
        self._not_before = self._clock.monotonic() + error.retry_after_s

    async def _end(self, invalidation_id: str) -> datetime | None:
        """Return when the invalidation was seen completed; None: not yet, or not asked again."""
        now = self._clock.monotonic()
        poll = self._polls.get(invalidation_id) or _Poll(now, POLL_FIRST_S)
        if poll.completed_at is not None or now < poll.ask_at:
            return poll.completed_at
        # Written before the answer, so that calls at the same time ask once.
        longer_s = min(POLL_MAX_S, poll.interval_s * 1.5)
        self._remember(invalidation_id, _Poll(now + poll.interval_s, longer_s))
        try:
            status = await self._api.status(invalidation_id)
        except CloudFrontError as error:
            error.retry_after_s = None if error.permanent else poll.interval_s
            raise
        if status.lower() != "completed":
            return None
        end = self._now()
        self._remember(invalidation_id, _Poll(now, POLL_FIRST_S, end))
        return end

    def _remember(self, invalidation_id: str, poll: _Poll) -> None:
        self._polls[invalidation_id] = poll
        while len(self._polls) > _POLLS_MAX:
            del self._polls[next(iter(self._polls))]

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall(), UTC)
