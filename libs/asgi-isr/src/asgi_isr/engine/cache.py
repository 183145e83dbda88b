"""The page cache as its users hold it: what it is made of, its life, and its verbs."""

import random
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from asgi_isr.backoff import Jitter
from asgi_isr.coherence.rules import RULES, Rules
from asgi_isr.counters import Counters
from asgi_isr.engine.session import Session
from asgi_isr.engine.status import InstanceStatus, LocalPagesStatus
from asgi_isr.errors import NotOpenError
from asgi_isr.events import Invalidation, names
from asgi_isr.logs.memory import MemoryLog
from asgi_isr.pages.entry import Entry, Ready
from asgi_isr.ports import Clock, Log, Store, SystemClock
from asgi_isr.settings import CacheSettings
from asgi_isr.types import Headers

_NOT_OPEN = (
    "this page cache is not open. Run the application with its lifespan (a server does; of"
    " Starlette's and Litestar's TestClient enter `with TestClient(app)`), or enter the cache"
    " itself: `async with cache`"
)


class PageCache:
    """One instance of the cache: its configuration, and the session that is open now, if any.

    Enter it as an async context manager before the first request; `CacheMiddleware` does so with
    the lifespan of the app. It may be made where no event loop runs, such as at the top of a
    module, and be opened again once it was closed, also in another loop. Each opening begins
    without pages. It is open in one loop at a time, once.

    Without `log` invalidations come from this process alone, without `store` nothing is shared.
    Both are closed with the cache, and opened again by their next use. `rules` and `jitter` are for
    tests: the decisions of the coherence protocol, one of which may be replaced to see that it is
    needed, and the randomness of waits, from 0 to 1.
    """

    def __init__(
        self,
        settings: CacheSettings | None = None,
        *,
        log: Log | None = None,
        store: Store | None = None,
        clock: Clock | None = None,
        rules: Rules = RULES,
        jitter: Jitter = random.random,
    ) -> None:
        self.settings = settings or CacheSettings()
        self.clock: Clock = clock or SystemClock()
        self.counters = Counters()
        self.hit: Callable[[str, float, Headers], Entry | None] = _not_open
        """`Lookup.hit` of the open session: the hot path makes no call more than it needs."""
        self.ready = Ready()
        """Pages of the open session that have their fields made for this second."""
        self._log = log
        self._store = store
        self._rules = rules
        self._jitter = jitter
        self._session: Session | None = None

    async def __aenter__(self) -> Self:
        """Open the cache in the running event loop. Raises `AlreadyOpenError` while it is open.

        When this raises nothing is left open, neither log nor store.
        """
        before = self._session
        if before is not None:
            before.check_closed()
        log = _memory_log(before) if self._log is None else self._log
        self._session = session = Session(
            self.settings, log=log, store=self._store,
            clock=self.clock, counters=self.counters, rules=self._rules,
            jitter=self._jitter,
        )  # fmt: skip
        try:
            await session.open()
        except BaseException:
            self._session = before
            raise
        self.hit, self.ready = session.lookup.hit, session.ready
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop following, cancel what still renders, close store and log."""
        await self.session.close()

    @property
    def session(self) -> Session:
        """What belongs to the opening now, or to the last one; its parts are no public API.

        Raises `NotOpenError` before the first.
        """
        if self._session is None:
            raise NotOpenError(_NOT_OPEN)
        return self._session

    async def invalidate(
        self,
        *,
        tags: Iterable[str] = (),
        paths: Iterable[str] = (),
        soft: bool = False,
        reason: str = "",
    ) -> int:
        """Invalidate the pages that carry one of `tags` or lie at one of `paths`, everywhere.

        A path is `/a/b`, or `/a/*` for all below; the tag `*` is everything. Hard, the pages are
        unusable; `soft`, they are served as stale while one refresh runs. Call it once what changed
        is visible to renders. `reason` is for people to read.

        Here it holds at once: for every page of this instance, and for what it takes from the store
        or from a render under way, as rule 9 of the protocol says. All others hear of it through
        the log. Returns the sequence of its event there, for `applied`.

        Raises `InvalidEventError` for an invalid tag or path; nothing has changed then;
        `LogUnavailableError` where the log has not taken the event within a second: it holds here
        nonetheless, and you may call again; and `NotOpenError` for a cache that is not open.
        """
        event = Invalidation(
            tags=names("tags", tags), paths=names("paths", paths),
            mode="soft" if soft else "hard", reason=reason,
        )  # fmt: skip
        return await self._open_session().changes.make(event)

    async def applied(self, seq: int, *, timeout_s: float) -> bool:
        """Wait until this instance has applied the log up to `seq`; False if not in `timeout_s`.

        From then on no page that an event up to there has ended is served by this instance,
        whoever published it. Of all instances the live set knows: `asgi_isr.coherence.Observer`.
        Raises `NotOpenError` for a cache that is not open.
        """
        return await self._open_session().follower.wait_for(seq, timeout_s)

    def status(self) -> InstanceStatus:
        """Return where this instance stands: of a cache that was never opened, nowhere."""
        if self._session is not None:
            return self._session.status()
        return InstanceStatus(
            position=None,
            base=0,
            joined=False,
            tags=0,
            lease_remaining_s=0.0,
            log_failure="is not open yet",
            store_failing=False,
            local=LocalPagesStatus(pages=0, bytes=0),
            counters=self.counters.counted(),
        )

    def _open_session(self) -> Session:
        if self._session is None or not self._session.is_open:
            raise NotOpenError(_NOT_OPEN)
        return self._session


def _not_open(_key: str, _now: float, _headers: Headers) -> Entry | None:
    raise NotOpenError(_NOT_OPEN)


def _memory_log(before: Session | None) -> MemoryLog:
    """Return a log of this process alone, which goes on behind that of the session before.

    Pages in a store carry fences of that one; what was invalidated since then nobody knows.
    """
    if before is None or not isinstance(before.log, MemoryLog):
        return MemoryLog()
    return MemoryLog(first_seq=before.log.last_seq + 1)
