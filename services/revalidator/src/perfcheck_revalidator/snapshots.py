"""Keeping the index snapshot in the shared store, so that a new instance starts warm (rule 6).

Any number of writers may run: the store keeps the snapshot with the highest position. An old one is
harmless, as whoever loads it replays the log from there; so a store that is away costs nothing but
age, and nothing waits for it.
"""

import asyncio
import logging
from typing import Protocol

import msgspec
from asgi_isr.coherence import Snapshot, encode_snapshot
from asgi_isr.errors import StoreUnavailableError
from asgi_isr.ports import Clock, Store

__all__ = ["REFRESH_S", "WRITE_TIMEOUT_S", "SnapshotCounters", "SnapshotSource", "SnapshotWriter"]

WRITE_TIMEOUT_S = 2.0
# The store may lose a snapshot of an index that does not move; so it is written again this often.
REFRESH_S = 60.0
_TTL_S = 7 * 86_400.0

_log = logging.getLogger(__name__)


class SnapshotSource(Protocol):
    """Where snapshots come from: the follower of the log."""

    position: int | None
    """The last sequence consumed, None before the first attachment."""

    def snapshot(self) -> Snapshot | None:
        """Return a copy of the index at `position`."""


class SnapshotCounters(msgspec.Struct):
    """What a writer has done since it started."""

    written: int = 0
    overtaken: int = 0  # another writer's snapshot was newer
    failed: int = 0


class SnapshotWriter:
    """Writes the follower's index to `store` at `key`, at most once in `interval_s`.

    No method raises for a store that is down or frozen: the failure is counted, kept in
    `unhealthy_reason` until the next success, and logged when it begins and when it ends.
    """

    def __init__(
        self,
        source: SnapshotSource,
        store: Store,
        clock: Clock,
        *,
        key: str,
        interval_s: float,
        timeout_s: float = WRITE_TIMEOUT_S,
    ) -> None:
        self._source = source
        self._store = store
        self._clock = clock
        self._key = key
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._written_position: int | None = None
        self._written_at = float("-inf")
        self.counters = SnapshotCounters()
        self.unhealthy_reason: str | None = None

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.write()

    async def write(self) -> bool:
        """Write a snapshot if there is something new to write; say whether the store took it."""
        position = self._source.position
        known = position == self._written_position
        if position is None or (known and self._clock.monotonic() - self._written_at < REFRESH_S):
            return False
        snapshot = self._source.snapshot()
        if snapshot is None:
            return False
        try:
            async with asyncio.timeout(self._timeout_s):
                kept = await self._store.put(
                    self._key, encode_snapshot(snapshot), fence=snapshot.position, ttl_s=_TTL_S
                )
        except (StoreUnavailableError, TimeoutError) as error:
            self._failed(str(error) or f"the store did not answer within {self._timeout_s:g} s")
            return False
        self._succeeded(snapshot.position, kept=kept)
        return kept

    def _failed(self, reason: str) -> None:
        self.counters.failed += 1
        if self.unhealthy_reason is None:
            _log.warning("no snapshot written, trying again each interval: %s", reason)
        self.unhealthy_reason = reason

    def _succeeded(self, position: int, *, kept: bool) -> None:
        if self.unhealthy_reason is not None:
            _log.info("the store takes snapshots again", extra={"position": position})
        self.unhealthy_reason = None
        self._written_position = position
        self._written_at = self._clock.monotonic()
        if kept:
            self.counters.written += 1
        else:
            self.counters.overtaken += 1
