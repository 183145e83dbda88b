"""One opening of a page cache: all that belongs to one event loop, in one owner task.

A `PageCache` may be opened and closed again and again, in one loop after another. Each opening
makes a session, whose index, pages, follower and name know nothing of those before it: as with a
new process, the log says which stored pages may still be used.
"""

import asyncio
import logging
from collections.abc import Collection
from contextlib import AsyncExitStack

from asgi_isr.backoff import Jitter
from asgi_isr.coherence.follower import Follower
from asgi_isr.coherence.index import Index
from asgi_isr.coherence.lease import Lease
from asgi_isr.coherence.rules import Invalidated, Rules
from asgi_isr.coherence.snapshot import Snapshot, read_snapshot
from asgi_isr.counters import Counters
from asgi_isr.engine.changes import Changes
from asgi_isr.engine.lookup import Lookup
from asgi_isr.engine.reporter import Reporter, Standing, instance_name
from asgi_isr.engine.status import InstanceStatus, LocalPagesStatus
from asgi_isr.errors import AlreadyOpenError
from asgi_isr.pages.entry import Entry, Ready
from asgi_isr.pages.local import LocalPages, Verdict
from asgi_isr.pages.shared import SharedPages
from asgi_isr.ports import Clock, Log, Store
from asgi_isr.rendering.parts import Parts
from asgi_isr.rendering.renders import Renders
from asgi_isr.settings import CacheSettings

logger = logging.getLogger(__name__)


class Session:
    """The parts of a cache from its opening to its closing, made in the event loop of both."""

    def __init__(
        self, settings: CacheSettings, *, log: Log, store: Store | None, clock: Clock,
        counters: Counters, rules: Rules, jitter: Jitter,
    ) -> None:  # fmt: skip
        self.log = log
        self.clock = clock
        self.counters = counters
        self._store = store
        self._namespace = settings.namespace
        self.index = Index(tags_max=settings.index_tags_max, rules=rules)
        self.local = LocalPages(
            bytes_max=settings.local_bytes_max, judge=self._judge,
            at_once=rules.pages_at_once(), counters=counters,
        )  # fmt: skip
        self.ready = Ready()
        self.reporter = Reporter(
            log, counters, name=instance_name(settings.instance), lease_s=settings.lease_s,
            standing=self._standing, end_lease=self._end_lease,
        )  # fmt: skip
        self.follower = Follower(
            log, self.index, load_snapshot=self._load_snapshot, on_names=self._on_names,
            on_raised=self._on_raised, on_rejoin=self._on_rejoin, on_move=self.reporter.moved,
            counters=counters, rules=rules, jitter=jitter,
        )  # fmt: skip
        self.lease = Lease(
            log, self.index, self.follower, clock, lease_s=settings.lease_s,
            register=self.reporter.register, rules=rules, jitter=jitter,
        )  # fmt: skip
        self.shared = SharedPages(
            store, clock, counters, namespace=settings.namespace, release=settings.release,
            timeout_s=settings.store_timeout_s,
        ) if store is not None else None  # fmt: skip
        parts = Parts(
            settings=settings, clock=clock, counters=counters, index=self.index,
            local=self.local, follower=self.follower, lease=self.lease, shared=self.shared,
            rules=rules,
        )  # fmt: skip
        self.renders = Renders(parts)
        self.changes = Changes(log, parts)
        self.lookup = Lookup(parts, self.renders)
        self._loop = asyncio.get_running_loop()
        self._opened = asyncio.Event()
        self._failure: Exception | None = None
        self._closing = asyncio.Event()
        self._owner: asyncio.Task[None] | None = None

    # -- its life -----------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether its tasks run: from the call of `open` to the end of `close`."""
        return self._owner is not None and not self._owner.done() and not self._loop.is_closed()

    def check_closed(self) -> None:
        """Raise `AlreadyOpenError` while it is open, which says how to avoid that."""
        if not self.is_open:
            return
        where = "" if self._loop is _running() else " in another event loop"
        raise AlreadyOpenError(
            f"this page cache is open already{where}. Open it once: by the lifespan of its"
            " middleware or by `async with cache`, not by both, and close it there before it is"
            " opened again. What runs at the same time needs a PageCache of its own."
        )

    async def open(self) -> None:
        """Start following the log. When this raises nothing is left open, neither log nor store."""
        self._owner = self._loop.create_task(self._live(), name="isr-session")
        self._owner.add_done_callback(self._ended)
        try:
            await self._opened.wait()
        except asyncio.CancelledError:
            self._owner.cancel()
            await asyncio.wait({self._owner})
            raise
        if self._failure is not None:
            await asyncio.wait({self._owner})
            raise self._failure

    async def close(self) -> None:
        """Stop following, cancel what still renders, close store and log.

        Raises what ended it before its time, and `AlreadyOpenError` in another event loop.
        """
        if self._owner is None or self._loop is not _running():
            self.check_closed()
            return
        self._closing.set()
        try:
            await asyncio.wait({self._owner})
        except asyncio.CancelledError:
            self._owner.cancel()  # it closes all the same, in less time
            await asyncio.wait({self._owner})
            raise
        if not self._owner.cancelled():
            self._owner.result()

    async def _live(self) -> None:
        """Own every task and connection, from first to last: a scope is left where it was entered.

        So a cache may be entered in one task and left in another.
        """
        async with AsyncExitStack() as stack:
            stack.callback(self._end_lease)
            if self._store is not None:
                stack.push_async_callback(self._store.close)
            stack.push_async_callback(self.log.close)
            stack.callback(self.changes.finish)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            try:
                self._start(stack, tasks)
            except Exception as error:  # noqa: BLE001  raised to who opens it
                self._failure = error
                return
            await self._closing.wait()

    def _start(self, stack: AsyncExitStack, tasks: asyncio.TaskGroup) -> None:
        self._opened.set()  # who opens it goes on before the first step of a task
        for part in (self.renders, self.changes):
            stack.callback(part.close)
            part.open(tasks)
        for name, run in (
            ("follower", self.follower.run), ("lease", self.lease.run),
            ("reporter", self.reporter.run),
        ):  # fmt: skip
            stack.callback(tasks.create_task(run(), name=f"isr-{name}").cancel)

    def _ended(self, owner: asyncio.Task[None]) -> None:
        if not self._closing.is_set() and not owner.cancelled() and owner.exception() is not None:
            logger.error("the page cache ended; the application answers alone",
                         exc_info=owner.exception())  # fmt: skip

    # -- what its parts tell each other -------------------------------------------------------

    def status(self) -> InstanceStatus:
        """Return where this instance stands."""
        self.counters.evicted = self.local.evicted
        left_s = self.lease.until - self.clock.monotonic()
        return InstanceStatus(
            position=self.follower.position,
            base=self.index.base,
            joined=self.follower.joined,
            tags=len(self.index),
            lease_remaining_s=round(max(0.0, left_s), 3),
            log_failure=self.follower.unhealthy_reason,
            store_failing=self.shared.failing if self.shared else False,
            local=LocalPagesStatus(pages=len(self.local.entries), bytes=self.local.bytes),
            counters=self.counters.counted(),
        )

    async def _load_snapshot(self) -> Snapshot | None:
        if self._store is None:
            return None
        return await read_snapshot(self._store, self._namespace)

    def _judge(self, entry: Entry) -> Verdict:
        found = self.index.invalidated(entry.page.tags, entry.fence)
        return Verdict(soft=found is Invalidated.SOFT, hard=found is Invalidated.HARD)

    def _on_names(self, tags: Collection[str], seq: int) -> None:
        self.reporter.note_popular(self.local.popular(tags), seq)

    def _on_raised(self, tags: Collection[str], hard: bool) -> None:  # noqa: FBT001  callback
        self.local.invalidate(tags, hard=hard, now=self.clock.monotonic())

    def _on_rejoin(self) -> None:
        self.lease.lose()
        self.renders.forget()
        self.local.clear()

    def _standing(self) -> Standing | None:
        position = self.follower.position
        return None if position is None else Standing(position, self.follower.source_seqs)

    def _end_lease(self) -> None:
        self.lease.end()


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
