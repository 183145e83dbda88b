"""Purging the CDN: what it is asked, and the wait until it has done it (rule 10)."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from asgi_isr.keys import canonical_tag
from asgi_isr.ports import Clock
from perfcheck_contracts import CdnPurge

from perfcheck_revalidator.cdn.port import Cdn, CdnError, PurgeEvent
from perfcheck_revalidator.metrics import Metrics
from perfcheck_revalidator.work.original import Event

__all__ = [
    "CDN_TIMEOUT_S",
    "COMPLETION_S_MAX",
    "Ended",
    "Purged",
    "Purger",
    "Purgers",
    "purge_event",
]

CDN_TIMEOUT_S = 60.0  # of one call: coalescing and throttling are in it
COMPLETION_S_MAX = 600.0
_COMPLETION_POLL_S = 0.1
_COMPLETION_POLL_S_MAX = 5.0


class Purged(NamedTuple):
    """One event's purge as it ended; `failure` says why it has to be tried again, or cannot be."""

    purge: CdnPurge | None
    failure: CdnError | None = None


class Ended(NamedTuple):
    """One event's purges at all CDNs; `failure` is one that has to be tried again, if any is."""

    purges: list[CdnPurge]
    failure: CdnError | None


def purge_event(event: Event) -> PurgeEvent:
    """Return the names of `event`, each once.

    Publishers choose the ids of their events, also one that another has. So the event is known by
    its place in the log, which a dead letter keeps.
    """
    named = event.invalidation
    return PurgeEvent(
        f"{event.seq} {event.original.id}",
        tuple(dict.fromkeys(map(canonical_tag, named.tags))),
        tuple(dict.fromkeys(named.paths)),
    )


class Purger:
    """Purges events and waits for the end of it, at most ten minutes."""

    def __init__(self, cdn: Cdn, metrics: Metrics, clock: Clock) -> None:
        self.name = cdn.name
        self._cdn = cdn
        self._metrics = metrics
        self._clock = clock

    async def purge(self, events: Sequence[Event], *, again: bool) -> list[Purged]:
        """Return one `Purged` for each of `events`, in their order."""
        started_s = self._clock.monotonic()
        try:
            async with asyncio.timeout(CDN_TIMEOUT_S):
                purges = await self._cdn.purge(
                    [purge_event(event) for event in events], again=again
                )
        except TimeoutError:
            late = CdnError(f"{self.name} did not take the purge within {CDN_TIMEOUT_S:g} s")
            return [Purged(None, late)] * len(events)
        except CdnError as error:
            return [Purged(None, error)] * len(events)
        if len(purges) != len(events):
            lying = CdnError(f"{self.name} answered {len(purges)} purges for {len(events)} events")
            return [Purged(None, lying)] * len(events)
        ends = await self._ends(set(purges))
        self._metrics.cdn.observe(self._clock.monotonic() - started_s)
        return [ends[purge] for purge in purges]

    async def _ends(self, purges: set[CdnPurge]) -> Mapping[CdnPurge, Purged]:
        """Ask after each purge, ever more slowly, until all have ended."""
        ends: dict[CdnPurge, Purged] = {}
        deadline_s = self._clock.monotonic() + COMPLETION_S_MAX
        pause_s = 0.0
        while True:
            for purge in purges - ends.keys():
                ended = await self._ended(purge)
                if ended is not None:
                    ends[purge] = ended
            left = purges - ends.keys()
            if not left:
                return ends
            if self._clock.monotonic() >= deadline_s:
                late = f"not completed within {COMPLETION_S_MAX:g} s"
                ends |= {purge: Purged(_with_detail(purge, late)) for purge in left}
                return ends
            pause_s = min(_COMPLETION_POLL_S_MAX, max(_COMPLETION_POLL_S, pause_s * 1.5))
            await asyncio.sleep(pause_s)

    async def _ended(self, purge: CdnPurge) -> Purged | None:
        if purge.status == "refused":
            reason = purge.detail or "no reason was given"
            return Purged(purge, CdnError(f"{self.name} refused: {reason}", permanent=True))
        if purge.status == "completed":
            return Purged(purge)
        try:
            async with asyncio.timeout(CDN_TIMEOUT_S):
                completed = await self._cdn.completed(purge)
        except (CdnError, TimeoutError) as error:
            if isinstance(error, CdnError) and error.permanent:
                return Purged(purge, error)
            return None  # asked again, within the time that there is
        return None if completed is None else Purged(completed)


class Purgers:
    """Purges at all CDNs, side by side."""

    def __init__(self, purgers: Sequence[Purger]) -> None:
        self._purgers = purgers

    async def purge(self, events: Sequence[Event], *, again: bool) -> list[Ended]:
        """Return one `Ended` for each of `events`, in their order."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(purger.purge(events, again=again)) for purger in self._purgers
            ]
        ends = []
        for purged in zip(*(task.result() for task in tasks), strict=True):
            failures = [end.failure for end in purged if end.failure is not None]
            # One that may pass comes first: what is done elsewhere already is done once more then.
            failures.sort(key=lambda failure: failure.permanent)
            purges = [end.purge for end in purged if end.purge is not None]
            ends.append(Ended(purges, failures[0] if failures else None))
        return ends


def _with_detail(purge: CdnPurge, detail: str) -> CdnPurge:
    return msgspec.structs.replace(purge, detail=detail)
