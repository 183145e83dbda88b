"""The follower keeps an instance at the end of the invalidation log: position and index.

Rules 2, 6 and 7 of the coherence protocol. The page cache and the revalidator both run one. It
never gives up: without the log it tries again, and the lease that then runs out is what protects
readers.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import aclosing

from asgi_isr.backoff import Backoff, Jitter
from asgi_isr.coherence.index import Index
from asgi_isr.coherence.rules import RULES, Rules
from asgi_isr.coherence.snapshot import Snapshot
from asgi_isr.coherence.waiters import Waiters
from asgi_isr.counters import Counters
from asgi_isr.errors import InvalidEventError, LogGapError, LogUnavailableError
from asgi_isr.events import MARK_CHARS_MAX, UNREADABLE, Invalidation, Problem, decode
from asgi_isr.ports import Bounds, Log, LogMessage
from asgi_isr.reports import SOURCES_MAX

logger = logging.getLogger(__name__)

RETRY_MIN_S = 0.05
RETRY_MAX_S = 2.0
WAITERS_MAX = 10_000
MARKS_MAX = 4096  # the last marks consumed: ours is among them when its sequence is reached


class Follower:
    """One instance's place in the log.

    `load_snapshot` gives the latest snapshot of the shared store, or None. `on_names(tags, seq)` is
    called with all that an event names before anything is raised. After the index was, and before
    the position is, `on_raised(tags, hard)`, in several parts for an event of many names;
    `on_rejoin()` when everything held so far must be dropped, the lease included; `on_move()` with
    each move of the position. All are synchronous: no request runs between index and pages, while
    requests do run between the parts of an event. What it does is counted in `counters`.
    """

    def __init__(
        self,
        log: Log,
        index: Index,
        *,
        load_snapshot: Callable[[], Awaitable[Snapshot | None]],
        on_names: Callable[[Collection[str], int], None] = lambda _tags, _seq: None,
        on_raised: Callable[[Collection[str], bool], None] = lambda _tags, _hard: None,
        on_rejoin: Callable[[], None] = lambda: None,
        on_move: Callable[[], None] = lambda: None,
        counters: Counters | None = None,
        rules: Rules = RULES,
        jitter: Jitter = random.random,
    ) -> None:
        self._log = log
        self._index = index
        self._load_snapshot = load_snapshot
        self._on_names = on_names
        self._on_raised = on_raised
        self._on_rejoin = on_rejoin
        self._on_move = on_move
        self._rules = rules
        self._backoff = Backoff(first_s=RETRY_MIN_S, max_s=RETRY_MAX_S, jitter=jitter)
        self._first = True  # a snapshot is of use only before anything else is known
        self._join_target: int | None = None
        self._stamp: str | None = None
        self._attached = asyncio.Event()  # set for good by the first attachment
        self._reading: asyncio.Timeout | None = None
        self._waiters = Waiters()
        self._beyond = 0  # more than every position ever reached, here or by a snapshot
        self.source_seqs: dict[str, int] = {}  # by source: all its events up to it are applied
        self.origins: dict[str, str] = {}  # by source: what its data comes from
        self.marks: deque[str] = deque(maxlen=MARKS_MAX)  # ids of the last ones consumed
        self.counters = counters or Counters()
        self.position: int | None = None
        self.joined = False
        self.unhealthy_reason: str | None = "has not reached the log yet"

    def snapshot(self) -> Snapshot | None:
        """Return the index at the current position, or None before the first attachment."""
        if self.position is None:
            return None
        return self._index.snapshot(self.position, self._stamp)

    async def attached(self) -> None:
        """Wait until this instance has a position for the first time."""
        await self._attached.wait()

    async def wait_for(
        self, position: int, timeout_s: float, *, waiters_max: int = WAITERS_MAX
    ) -> bool:
        """Wait until this instance has consumed `position`; False when `timeout_s` passed first.

        False at once where `waiters_max` others wait.
        """
        if self.position is not None and self._rules.applied(self.position, position):
            return True
        if len(self._waiters) >= waiters_max:
            return False
        return await self._waiters.wait("", position, timeout_s)

    async def wait_for_source(self, source: str, source_seq: int, timeout_s: float) -> bool:
        """Wait until what `source` counts is applied up to `source_seq`; False when not in time."""
        if self.knows_write(source, source_seq):
            return True
        if len(self._waiters) >= WAITERS_MAX:
            return False
        return await self._waiters.wait(source, source_seq, timeout_s)

    def knows_write(self, source: str, source_seq: int) -> bool:
        """Say whether all that `source` wrote up to `source_seq` was consumed (rule 12)."""
        return self._rules.knows_write(self.source_seqs.get(source, -1), source_seq)

    async def run(self) -> None:
        """Follow the log until cancelled."""
        while True:
            try:
                await self._attach()
                self._backoff.reset()
                await self._consume()
            except LogGapError as error:
                logger.warning("the log has a gap, rejoining: %s", error)
                self.unhealthy_reason = str(error)
                self._join_target = None
                self.position = None
            except Exception as error:
                # A log must raise LogUnavailableError; whatever else it raises is logged whole, and
                # must not end the only task that keeps pages right.
                known = isinstance(error, LogUnavailableError)
                if not self._backoff.failures or not known:
                    logger.warning("the invalidation log: %s", error, exc_info=not known)
                self.counters.log_failures += 1
                self.unhealthy_reason = str(error)
                await asyncio.sleep(self._backoff.next_s())

    async def still_holds(self) -> bool:
        """Ask the log whether it is the one that was read; attach again if not (rule 7)."""
        position, stamp = self.position, self._stamp  # taken before the bounds: never beyond them
        if position is None:
            return False
        if await self._holds(await self._log.bounds(), position, stamp):
            return True
        if self._reading is not None:
            self._reading.reschedule(asyncio.get_running_loop().time())
        return False

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
        held = bounds.first <= position <= bounds.last
        found = await self._log.stamp(position) if held and stamp is not None else None
        return self._rules.holds(bounds, position, stamp, found)

    async def _rejoin(self, end: int) -> None:
        """Begin again at the end of the log, and trust no page from before (rule 6).

        A log that lost its tail ends before fences that are in use. Those stay mistrusted: nothing
        is fresh until the log has grown beyond them, or was recreated.
        """
        stamp = await self._log.stamp(end)
        base = self._rules.base_after_joining(end, beyond=self._beyond, base=self._index.base)
        if base > end:
            logger.warning("the log ends at %d, before %d: it lost events; recreate it", end, base)
        self._on_rejoin()
        self.marks.clear()
        self.source_seqs.clear()
        self.origins.clear()
        self._index.reset(base)
        self.position, self._stamp = end, stamp
        self.counters.rejoins += 1
        logger.info("joined the invalidation log at its end, %d", end)

    async def _consume(self) -> None:
        if self.position is None:
            raise LogGapError("not attached")
        self.unhealthy_reason = None
        try:
            async with (
                asyncio.timeout(None) as self._reading,
                aclosing(self._log.read(self.position)) as batches,
            ):
                async for batch in batches:
                    await self._apply(batch)
                    # While the log runs far ahead the next batch is there already: let requests
                    # run in between.
                    await asyncio.sleep(0)
        except TimeoutError:
            return  # another log was found than the one that was read; attach again
        finally:
            self._reading = None
        raise LogUnavailableError("the log ended its delivery")

    async def _apply(self, batch: Sequence[LogMessage]) -> None:
        for message in batch:
            position = self.position
            if position is None or not self._rules.follows(position, message.seq):
                raise LogGapError(f"expected {position} + 1, got {message.seq}")
            if message.seq <= position:
                continue
            event = self._read(message)
            self.position = self._rules.position_within(position, message.seq)
            await self._raise(event, message.seq)
            if event.mark and len(event.mark) <= MARK_CHARS_MAX:
                self.marks.append(event.mark)
            self.counters.events += 1
            self.position, self._stamp = message.seq, message.stamp
            # Whatever a log of somebody else's yields, this task must not stumble over it for ever.
            if isinstance(message.source_seq, int) and isinstance(message.source, str):
                known = self.source_seqs.get(message.source, -1)
                if known >= 0 or len(self.source_seqs) < SOURCES_MAX:
                    self.source_seqs[message.source] = max(known, message.source_seq)
                    if message.origin:
                        self.origins[message.source] = message.origin
        self._moved()

    def _read(self, message: LogMessage) -> Invalidation:
        try:
            return decode(message.body)
        except InvalidEventError as error:
            self.counters.unreadable += 1
            logger.warning("event %d counts as everything: %s", message.seq, error)
            return UNREADABLE

    async def _raise(self, event: Invalidation, seq: int) -> None:
        """Raise the index by `event`, and let requests run after each part of its names."""
        tags: list[str] = []
        problems: list[Problem] = []
        parts = 0
        for part in event.parts():
            if parts:
                await asyncio.sleep(0)
            parts += 1
            tags += part.tags
            problems += part.problems
        if problems:
            self.counters.unreadable += 1
            logger.warning(
                "event %d has %d names that no page can have: %s", seq, len(problems), problems[0]
            )
        if parts > 1:
            await asyncio.sleep(0)
        tags = list(dict.fromkeys(tags))
        self._on_names(tags, seq)
        at_once = self._rules.names_at_once()
        for start in range(0, max(1, len(tags)), at_once):
            if start or parts > 1:
                await asyncio.sleep(0)
            raised = tags[start : start + at_once]
            self._index.apply(raised, seq, hard=event.hard)
            self._on_raised(raised, event.hard)

    def _moved(self) -> None:
        """Tell those who wait for a position."""
        if self.position is None:
            return
        self._on_move()
        self._beyond = max(self._beyond, self.position + 1)
        if not self.joined and self._join_target is not None:
            self.joined = self.position >= self._join_target
        for source in self._waiters.sources():
            known = self.source_seqs.get(source, -1) if source else self.position
            self._waiters.reach(source, known)
