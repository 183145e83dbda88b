"""The follower keeps an instance at the end of the invalidation log: position, index, lease.

Rules 2, 6, 7 and 8 of the coherence protocol. The page cache and the revalidator both run one. It
never gives up: without the log it tries again, and the lease that then runs out is what protects
readers.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

import msgspec

from asgi_isr.coherence.index import Index
from asgi_isr.coherence.snapshot import Snapshot
from asgi_isr.coherence.waiters import Waiters
from asgi_isr.errors import InvalidEventError, LogGapError, LogUnavailableError
from asgi_isr.events import decode
from asgi_isr.ports import Bounds, Clock, Log, LogMessage, Mark
from asgi_isr.reports import SOURCES_MAX

logger = logging.getLogger(__name__)

RETRY_MIN_S = 0.05
RETRY_MAX_S = 2.0
WAITERS_MAX = 10_000
MARKS_MAX = 4096  # the last marks consumed: ours is among them when its sequence is reached


class FollowerCounters(msgspec.Struct):
    """What a follower has done since it started."""

    events: int = 0  # messages consumed, marks included
    unreadable: int = 0  # messages whose body is no event; their position counts, nothing else
    rejoins: int = 0
    log_failures: int = 0
    lease_failures: int = 0


class Follower:
    """One instance's place in the log.

    `load_snapshot` gives the latest snapshot of the shared store, or None. After the index was
    raised and before the position is, `on_event(tags, hard, seq)` is called; `on_rejoin()` when
    everything held so far must be dropped. Both are synchronous: no request runs between index and
    pages. `register` is awaited before each renewal of the lease, `on_move` called with each move.
    With `lease_s` None the follower asks for no lease (it serves nobody pages).
    """

    def __init__(
        self,
        log: Log,
        index: Index,
        clock: Clock,
        *,
        lease_s: float | None,
        load_snapshot: Callable[[], Awaitable[Snapshot | None]],
        on_event: Callable[[frozenset[str], bool, int], None] = lambda _tags, _hard, _seq: None,
        on_rejoin: Callable[[], None] = lambda: None,
        rng: random.Random | None = None,
    ) -> None:
        self._log = log
        self._index = index
        self._clock = clock
        self._lease_s = lease_s
        self._load_snapshot = load_snapshot
        self._on_event = on_event
        self._on_rejoin = on_rejoin
        self._rng = rng or random.Random()  # noqa: S311  jitter, not a secret
        self._first = True  # a snapshot is of use only before anything else is known
        self._join_target: int | None = None
        self._stamp: str | None = None
        self._attached = asyncio.Event()  # set for good by the first attachment
        self._reading: asyncio.Timeout | None = None
        self._waiters = Waiters()
        self.on_move: Callable[[], None] = lambda: None
        self.register: Callable[[], Awaitable[None]] | None = None
        self.sequences: dict[str, int] = {}  # by source: all its events up to it are applied
        self._marks: deque[str] = deque(maxlen=MARKS_MAX)
        self._beyond = 0  # more than every position ever reached, here or by a snapshot
        self.counters = FollowerCounters()
        self.position: int | None = None
        self.joined = False
        self._lease_ended = False
        self.lease_until = float("-inf")  # on the monotonic clock; compared at lookup (rule 8)
        self.failure: str | None = "has not reached the log yet"

    def snapshot(self) -> Snapshot | None:
        """Return the index at the current position, or None before the first attachment."""
        if self.position is None:
            return None
        return self._index.snapshot(self.position, self._stamp)

    async def run(self) -> None:
        """Follow the log until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name="isr-follow")
            if self._lease_s is not None:
                tasks.create_task(self._renew(self._lease_s), name="isr-lease")

    async def wait_for(self, position: int, timeout_s: float) -> bool:
        """Wait until this instance has consumed `position`; False when `timeout_s` passed first."""
        if self.position is not None and self.position >= position:
            return True
        if len(self._waiters) >= WAITERS_MAX:
            return False
        return await self._waiters.wait("", position, timeout_s)

    async def wait_for_sequence(self, source: str, number: int, timeout_s: float) -> bool:
        """Wait until all events of `source` up to `number` are applied; False when not in time."""
        if self.sequences.get(source, -1) >= number:
            return True
        if len(self._waiters) >= WAITERS_MAX:
            return False
        return await self._waiters.wait(source, number, timeout_s)

    # -- the log ------------------------------------------------------------------------------

    async def _follow(self) -> None:
        failures = 0
        while True:
            try:
                await self._attach()
                failures = 0
                await self._consume()
            except LogGapError as error:
                logger.warning("the log has a gap, rejoining: %s", error)
                self.failure = str(error)
                self._join_target = None
                self.position = None
            except Exception as error:
                # A log must raise LogUnavailableError; whatever else it raises is logged whole, and
                # must not end the only task that keeps pages right.
                known = isinstance(error, LogUnavailableError)
                if not failures or not known:
                    logger.warning("the invalidation log: %s", error, exc_info=not known)
                failures += 1
                self.counters.log_failures += 1
                self.failure = str(error)
                ceiling = min(RETRY_MAX_S, RETRY_MIN_S * 2 ** min(failures, 10))
                await asyncio.sleep(self._rng.uniform(RETRY_MIN_S, ceiling))

    async def _attach(self) -> None:
        """Make sure that position and log belong together, else rejoin (rules 6 and 7)."""
        bounds = await self._log.bounds()
        if self._first:
            snapshot = await self._load_snapshot()
            if snapshot and await self._holds(bounds, snapshot.position, snapshot.stamp):
                self._index.restore(snapshot)
                self.position, self._stamp = snapshot.position, snapshot.stamp
            elif snapshot:  # of events that the log lost: pages of then are in the store
                self._beyond = snapshot.position + 1
            self._first = False
        if self.position is None or not await self._holds(bounds, self.position, self._stamp):
            await self._rejoin(bounds.last)
        if self._join_target is None:
            self._join_target = bounds.last
        self._attached.set()
        self._moved()

    async def _holds(self, bounds: Bounds, position: int, stamp: str | None) -> bool:
        """Say whether the log goes on from `position` and holds there what was seen there."""
        if not bounds.first - 1 <= position <= bounds.last:
            return False
        if position < bounds.first or stamp is None:
            return True
        return await self._log.stamp(position) == stamp

    async def _rejoin(self, end: int) -> None:
        """Begin anew at the end of the log, and trust no page from before (rule 6).

        A log that lost its tail ends before fences that are in use. Those stay mistrusted: nothing
        is fresh until the log has grown beyond them, or was recreated.
        """
        stamp = await self._log.stamp(end)
        base = max(end, self._beyond, self._index.base)
        if base > end:
            logger.warning("the log ends at %d, before %d: it lost events; recreate it", end, base)
        self._on_rejoin()
        self._marks.clear()
        self.sequences.clear()
        self._index.reset(base)
        self.position, self._stamp = end, stamp
        self.lease_until = float("-inf")
        self.counters.rejoins += 1
        logger.info("joined the invalidation log at its end, %d", end)

    async def _consume(self) -> None:
        if self.position is None:
            raise LogGapError("not attached")
        self.failure = None
        try:
            async with (
                asyncio.timeout(None) as self._reading,
                aclosing(self._log.read(self.position)) as batches,
            ):
                async for batch in batches:
                    self._apply(batch)
                    # While the log runs far ahead the next batch is there already: let requests
                    # run in between.
                    await asyncio.sleep(0)
        except TimeoutError:
            return  # the lease found another log than the one that was read; attach again
        finally:
            self._reading = None
        raise LogUnavailableError("the log ended its delivery")

    def _apply(self, batch: Sequence[LogMessage]) -> None:
        for message in batch:
            position = self.position
            if position is None or message.seq > position + 1:
                raise LogGapError(f"expected {position} + 1, got {message.seq}")
            if message.seq <= position:
                continue
            try:
                event = decode(message.body)
            except InvalidEventError as error:
                self.counters.unreadable += 1
                logger.warning("event %d cannot be read: %s", message.seq, error)
            else:
                tags = event.index_tags()
                self._index.apply(tags, message.seq, hard=event.hard)
                self._on_event(tags, event.hard, message.seq)
                if event.mark:
                    self._marks.append(event.mark)
            self.counters.events += 1
            self.position, self._stamp = message.seq, message.stamp
            if message.sequence is not None:
                known = self.sequences.get(message.source, -1)
                if known >= 0 or len(self.sequences) < SOURCES_MAX:
                    self.sequences[message.source] = max(known, message.sequence)
        self._moved()

    def _moved(self) -> None:
        """Tell those who wait for a position."""
        if self.position is None:
            return
        self.on_move()
        self._beyond = max(self._beyond, self.position + 1)
        if not self.joined and self._join_target is not None:
            self.joined = self.position >= self._join_target
        for source in self._waiters.sources():
            known = self.sequences.get(source, -1) if source else self.position
            self._waiters.reach(source, known)

    # -- the lease ----------------------------------------------------------------------------

    def end_lease(self) -> None:
        """Call no page fresh from now on, for good."""
        self._lease_ended = True
        self.lease_until = float("-inf")

    async def _renew(self, lease_s: float) -> None:
        await self._attached.wait()
        pause_s = 0.0
        while True:
            await asyncio.sleep(pause_s)
            asked_at = self._clock.monotonic()
            try:
                async with asyncio.timeout(lease_s):
                    renewed = await self._renew_once(asked_at, lease_s)
            except Exception as error:  # as in `_follow`: this task must not end
                renewed = False
                known = isinstance(error, LogUnavailableError | TimeoutError)
                level = logging.INFO if known else logging.WARNING
                logger.log(level, "no mark for the lease: %r", error, exc_info=not known)
            if renewed:
                pause_s = lease_s / 3
            else:
                self.counters.lease_failures += 1
                pause_s = min(lease_s / 3, RETRY_MAX_S) * self._rng.uniform(0.25, 1.0)

    async def _renew_once(self, asked_at: float, lease_s: float) -> bool:
        changes = self._index.changes
        if self.register is not None:
            await self.register()  # rule 11: whoever may call a page fresh is in the live set
        mark = await self._log.mark()
        self._index.marked(changes, mark.seq)
        position, stamp = self.position, self._stamp  # taken before the bounds: never beyond them
        if position is None:
            return False
        bounds = await self._log.bounds()
        if not await self._holds(bounds, position, stamp):
            # Rule 7: this is another log than the one that was read. Attach anew.
            if self._reading is not None:
                self._reading.reschedule(asyncio.get_running_loop().time())
            return False
        rejoins = self.counters.rejoins
        if not await self._consumed(mark, lease_s) or rejoins != self.counters.rejoins:
            return False
        if self._lease_ended:
            return False
        self.lease_until = asked_at + lease_s
        return True

    async def _consumed(self, mark: Mark, timeout_s: float) -> bool:
        """Wait until this very mark has been consumed.

        Another event at its sequence means that the log lost it, and with it perhaps events that
        were not consumed here.
        """
        position = self.position
        # Nobody else who waits may hold up the lease: no bound counts here.
        reached = (position is not None and position >= mark.seq) or await self._waiters.wait(
            "", mark.seq, timeout_s
        )
        return reached and mark.id in self._marks
